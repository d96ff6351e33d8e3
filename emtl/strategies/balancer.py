"""The loss balancer of EnCodec."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.averages import MovingAverage
from emtl.strategy import Strategy, Tasks, register

CAP = 1e12
"""How many times smaller than the largest an average norm may be before it counts as that small."""


@register("balancer")
class LossBalancer(Strategy):
    """EnCodec's loss balancer (Défossez et al. 2022, arXiv:2210.13438): every task has a given share of the update's length.

    w_k ~ share_k / average of s_k, an exponential average that is corrected for its start.

    Deviations: the official code averages the norms over ranks by their row counts; our Gram matrix is already that of the global
    batch, so its norm is the same on every rank. Its norm is the mean of the rows' norms, ours that of the whole gradient, as with
    `per_batch_item=False`. Weights are scaled to sum K, where the code gives the update the length 1 if norms are at their average.
    Average norms below 1e-12 of the largest count as that, in place of its epsilon of 1e-12. Losses of any value are taken, and none
    is looked at.

    Args:
        num_tasks: K.
        weights: K positive shares, in the order of the tasks; by default equal ones.
        decay: what a step keeps of the averages, in [0, 1).
    """

    shares: Tensor

    def __init__(self, num_tasks: int, weights: Sequence[float] | None = None, decay: float = 0.999) -> None:
        super().__init__(num_tasks)
        shares = torch.tensor(validate.shares("weights", weights, num_tasks), dtype=torch.float64)
        self.register_buffer("shares", shares, persistent=False)
        self.norms = MovingAverage(num_tasks, validate.number("decay", decay, 0, 1, open_high=True))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) shares over average norms."""
        norms = self.norms.update(tasks.norms, tasks.present)
        return self.shares / norms.maximum(masked.largest(norms, tasks.present) / CAP)
