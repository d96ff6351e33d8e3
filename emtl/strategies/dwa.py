"""Dynamic weight average."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.strategy import Needs, Strategy, Tasks, register

FASTEST = 1e12
"""Largest ratio of two windows' means that is told apart."""


@register("dwa")
class DWA(Strategy):
    """Dynamic weight average (Liu et al. 2019, arXiv:1803.10704): w = K softmax(r / T), r_k = l_k(t-1) / l_k(t-2).

    A task whose loss falls more slowly gets more weight. l_k(t) is a mean over a window of steps. Deviation: the paper's window is an
    epoch; ours is `window` steps in which the task is present, so each task has its own. Until a task has two windows its r is 1, as
    in the paper. Our weights sum to K, as the paper's do. Constant factors on losses change nothing. A task whose earlier mean is 0
    has r = 1; a negative loss is refused.

    Args:
        num_tasks: K.
        T: temperature, above 0; a large one gives equal weights.
        window: steps a window, at least 1. For the paper's, the steps of an epoch.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False
    total: Tensor
    steps: Tensor
    last: Tensor
    earlier: Tensor

    def __init__(self, num_tasks: int, T: float = 2.0, window: int = 100) -> None:
        super().__init__(num_tasks)
        self.temperature = validate.positive("T", T)
        self.window = validate.integer("window", window, 1)
        for name in ("total", "steps", "last", "earlier"):
            self.register_buffer(name, torch.zeros(num_tasks, dtype=torch.float64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) softmax of the ratios of the last two full windows."""
        ratios = torch.where(self.earlier > 0, self.last / self.earlier, 1.0)
        weights = masked.softmax(ratios.clamp(max=FASTEST) / self.temperature, tasks.present)
        self._note(tasks.losses, tasks.present & tasks.losses.isfinite())
        return weights

    def _note(self, losses: Tensor, taken: Tensor) -> None:
        self.total += torch.where(taken, losses / self.window, 0.0)
        self.steps += taken
        full = self.steps == self.window
        self.earlier.copy_(torch.where(full, self.last, self.earlier))
        self.last.copy_(torch.where(full, self.total, self.last))
        self.total.masked_fill_(full, 0.0)
        self.steps.masked_fill_(full, 0.0)
