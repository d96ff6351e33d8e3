"""Uncertainty weighting."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.adam import Adam
from emtl.strategy import Needs, Strategy, Tasks, register

LIMIT = math.log(1e12)
"""How far a log-variance may go from 0."""


@register("uncertainty")
class Uncertainty(Strategy):
    """Uncertainty weighting (Kendall et al. 2018, arXiv:1705.07115): learns a log-variance t_k a task.

    A step goes down on sum_k l_k e^-t_k + t_k, so w_k = e^-t_k, d/dt_k = 1 - l_k e^-t_k, and t_k tends to log l_k (weights to 1 / l_k).
    The weights of a step are from before its own update, as with one joint backward.

    Deviations: the constants 1/2 that the paper has for regression and not for classification are left out. t starts at 0 and is
    learnt by an Adam of its own, in closed form, where the paper puts it among the network's parameters; give `lr` that of the
    network for the same. Weights handed on are scaled to sum K; t follows the unscaled ones. t stays within log 1e12 of 0, for a loss
    that is 0 (then t falls by `lr` a step) or beyond bounds; a negative loss, for which t has no minimum, is refused.

    Args:
        num_tasks: K.
        lr: learning rate of t.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False
    log_variances: Tensor

    def __init__(self, num_tasks: int, lr: float = 1e-3) -> None:
        super().__init__(num_tasks)
        self.register_buffer("log_variances", torch.zeros(num_tasks, dtype=torch.float64))
        self.adam = Adam(num_tasks, validate.positive("lr", lr))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) e^-t."""
        weights = masked.softmax(-self.log_variances, tasks.present)
        slopes = (1 - tasks.losses * (-self.log_variances).exp()).clamp(min=-1e150)  # whose square is finite
        self.adam.update(self.log_variances, slopes, tasks.present & tasks.losses.isfinite())
        self.log_variances.clamp_(-LIMIT, LIMIT)
        return weights
