"""What a step works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchrec import KeyedJaggedTensor
from torchrec.streamable import Pipelineable


@dataclass
class Batch(Pipelineable):
    """The rows of one rank in one step: B rows, K tasks, D numbers.

    sparse: ids of the pooled features (`id` and `ids` on tables that no sequence uses), keys are feature names.
    sequence: ids of features on tables that a sequence uses, keys are feature names and `SEQUENCE.COLUMN` for its items; with weights
    where one of them is weighted.
    weighted: ids with their weights, of the pooled features on tables that a weighted `ids` feature uses (weight 1 if not weighted itself).
    managed: hashes of the ids of features whose tables give out their rows.
    dense: (B, D) float32: what `number` and `vector` features give, in the config's order.
    labels: (B, K) float32, 0 where there is none. masks: (B, K) bool, whether the label counts (label known, row in the task's
    sample space, not padding). weights: (B,) float32.
    """

    sparse: KeyedJaggedTensor | None
    sequence: KeyedJaggedTensor | None
    dense: Tensor
    labels: Tensor
    masks: Tensor
    weights: Tensor
    weighted: KeyedJaggedTensor | None = None
    managed: KeyedJaggedTensor | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The batch on `device`."""
        return self._each(lambda part: part.to(device, non_blocking=non_blocking))

    def record_stream(self, stream: torch.Stream) -> None:
        """Tell the allocator that `stream` uses this memory."""
        for part in vars(self).values():
            if part is not None:
                part.record_stream(stream)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return self._each(lambda part: part.pin_memory())

    def _each(self, change: Callable[[Any], Any]) -> Batch:
        parts: dict[str, Any] = {name: None if part is None else change(part) for name, part in vars(self).items()}
        return Batch(**parts)
