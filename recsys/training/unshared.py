"""What stands for the balancer where tasks share nothing."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Unshared:
    """Adds the losses up: with a model a task there is nothing to weigh.

    weights, losses: (K,) of the last step, float64, the same on every rank. gram: never measured.
    """

    gram: Tensor | None = None
    observe = False

    def __init__(self, process_group: dist.ProcessGroup) -> None:
        self.weights = torch.empty(0)
        self.losses = torch.empty(0)
        self._group = process_group

    def total(self, losses: Tensor) -> Tensor:
        """The sum of this rank's (K,) losses, whose mean over ranks is the global loss."""
        self.losses = losses.detach().double()
        dist.all_reduce(self.losses, group=self._group)
        self.losses /= self._group.size()
        self.weights = torch.ones_like(self.losses)
        return losses.sum()

    def fork(self, *shared: Tensor) -> list[Any]:
        """Never called: such a model has no place where tasks part."""
        raise RuntimeError("a model that shares nothing called its fork")

    def failures(self) -> Tensor:
        """Nothing is solved."""
        return torch.zeros((), dtype=torch.int64)

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""
