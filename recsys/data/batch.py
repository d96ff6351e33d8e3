"""What a step works on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchrec import KeyedJaggedTensor
from torchrec.streamable import Pipelineable


@dataclass
class Batch(Pipelineable):
    """The rows of one rank in one step: B rows, K tasks, D numbers.

    sparse: ids of the pooled features (`id` and `ids` on tables that no sequence uses), keys are feature names.
    sequence: ids of features on tables that a sequence uses, keys are feature names and `SEQUENCE.COLUMN` for its items.
    dense: (B, D) float32, in the order of the config's `number` features.
    labels: (B, K) float32, 0 where there is none. masks: (B, K) bool, whether the label counts (label known, row in the task's
    sample space, not padding). weights: (B,) float32.
    """

    sparse: KeyedJaggedTensor | None
    sequence: KeyedJaggedTensor | None
    dense: Tensor
    labels: Tensor
    masks: Tensor
    weights: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The batch on `device`."""
        return Batch(
            **{name: None if part is None else part.to(device, non_blocking=non_blocking) for name, part in vars(self).items()}
        )

    def record_stream(self, stream: torch.Stream) -> None:
        """Tell the allocator that `stream` uses this memory."""
        for part in vars(self).values():
            if part is not None:
                part.record_stream(stream)

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from which copies to a GPU are asynchronous."""
        return Batch(**{name: None if part is None else part.pin_memory() for name, part in vars(self).items()})
