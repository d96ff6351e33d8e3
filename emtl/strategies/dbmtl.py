"""Dual balancing."""

from __future__ import annotations

from torch import Tensor

from emtl import masked
from emtl.averages import MovingAverage
from emtl.strategy import Strategy, Tasks, register


@register("dbmtl")
class DBMTL(Strategy):
    """Dual-balancing multi-task learning (Lin et al. 2023, arXiv:2308.12029): log losses, and all gradients as long as the largest.

    The gradient of log l_k is g_k / l_k, so with n_k the length of its average w_k ~ max_j n_j / (n_k l_k).

    Deviations: the paper averages the gradients of the log losses at all shared parameters, K copies of their size, and steps along the
    averages. At the fork the rows are other examples in every step, so such an average doesn't exist: n_k is here the average
    of the *norms* s_k / l_k, and the update is made of the step's own gradients. Without an average (beta 0) the two agree, and
    are normalised gradients. Weights are scaled to sum K, so the factor max_j n_j, which lets the update grow with the largest
    gradient, is gone. n_k counts as 1e-12 of the largest at least, in place of an addition of 1e-8.

    Args:
        num_tasks: K.
        beta: what a step keeps of the averages, in [0, 1).

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    takes_negative_losses = False

    def __init__(self, num_tasks: int, beta: float = 0.9) -> None:
        super().__init__(num_tasks)
        self.norms = MovingAverage(num_tasks, beta)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) reciprocals of average norm times loss, in logarithms."""
        log_losses = masked.log(tasks.losses, tasks.present)
        norms = self.norms.update(tasks.norms * (-log_losses).exp(), tasks.present)
        return masked.softmax(-masked.log(norms, tasks.present) - log_losses, tasks.present)
