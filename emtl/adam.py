"""Adam for the numbers that a strategy learns, one a task."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-8


class Adam(torch.nn.Module):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with its default averages, as in `torch.optim.Adam`, on (K,) numbers in float64.

    Each task counts its own steps, so a step in which it isn't taken leaves its averages as they were. State is in the `state_dict`.

    Args:
        num_tasks: K.
        lr: learning rate.
        decay: weight decay, added to the gradient.
    """

    mean: Tensor
    square: Tensor
    steps: Tensor

    def __init__(self, num_tasks: int, lr: float, decay: float = 0.0) -> None:
        super().__init__()
        self.lr, self.decay = lr, decay
        for name in ("mean", "square", "steps"):
            self.register_buffer(name, torch.zeros(num_tasks, dtype=torch.float64))

    def update(self, values: Tensor, gradient: Tensor, taken: Tensor) -> None:
        """Moves the (K,) `values` of the tasks `taken` one step against their `gradient`, in place."""
        gradient = gradient + self.decay * values
        self.steps += taken
        self.mean.copy_(torch.where(taken, torch.lerp(gradient, self.mean, FIRST), self.mean))
        self.square.copy_(torch.where(taken, torch.lerp(gradient.square(), self.square, SECOND), self.square))
        mean, square = self.mean / (1 - FIRST**self.steps), self.square / (1 - SECOND**self.steps)
        values.sub_(torch.where(taken, self.lr * mean / (square.sqrt() + EPSILON), 0.0))
