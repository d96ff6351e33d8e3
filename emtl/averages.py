"""The moving average that strategies keep of a number a task."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import validate


class MovingAverage(torch.nn.Module):
    """Exponential moving average of (K,) numbers, corrected for its start at 0 (as in Adam, arXiv:1412.6980).

    Each task counts its own updates, so a step in which it is absent or its number isn't finite leaves its average as it was.
    Its state, float64, is in the `state_dict`.

    Args:
        num_tasks: K.
        beta: what a step keeps of the past, in [0, 1); 0 hands the numbers on as they are.
    """

    total: Tensor
    updates: Tensor

    def __init__(self, num_tasks: int, beta: float) -> None:
        super().__init__()
        self.beta = validate.number("beta", beta, 0, 1, open_high=True)
        self.register_buffer("total", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros(num_tasks, dtype=torch.float64))

    def update(self, values: Tensor, present: Tensor) -> Tensor:
        """The (K,) averages with `values` of the tasks `present` taken in; a value that isn't finite comes back itself, to be seen."""
        finite = values.isfinite()
        taken = present & finite
        self.updates += taken
        self.total.copy_(torch.where(taken, torch.lerp(values, self.total, self.beta), self.total))
        average = self.total / (1 - self.beta**self.updates)
        return torch.where(finite, average, values)
