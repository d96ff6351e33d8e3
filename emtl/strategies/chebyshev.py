"""Smooth Tchebycheff scalarisation."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.strategy import Needs, Strategy, Tasks, register


@register("chebyshev")
class Chebyshev(Strategy):
    """Smooth Tchebycheff scalarisation, STCH (Lin et al. 2024, arXiv:2402.19078), of log losses, as in its multi-task code.

    A step goes down on K mu log sum_k exp(log(l_k / z_k) / mu), so w_k = K softmax(log(l / z) / mu)_k / l_k: the smaller mu, the more goes
    to the task that is worst next to its reference loss z_k. In the warm-up the weights are those of `log`, and z_k is the mean of
    the task's losses in it.

    Scaled to sum K. At mu = 1 that makes w_k ~ 1 / z_k, constant weights: what moves the paper's is the common factor 1 / sum (l / z),
    here left to the learning rate. So set mu below 1 to follow the worst task. Deviations: the code's warm-up is some epochs, with z
    from the last of them; ours is `warmup` steps in which the task is present, with z from all of them. Its log(l / z + 1e-20) is a floor
    instead: a loss below 1e-12 of the largest counts as that. A negative loss is refused. Constant factors on losses change no share.

    Args:
        num_tasks: K.
        mu: smoothing, above 0.
        warmup: steps from which z is taken, at least 1.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False
    reference: Tensor
    steps: Tensor

    def __init__(self, num_tasks: int, mu: float = 1.0, warmup: int = 100) -> None:
        super().__init__(num_tasks)
        self.mu = validate.positive("mu", mu)
        self.warmup = validate.integer("warmup", warmup, 1)
        self.register_buffer("reference", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("steps", torch.zeros(num_tasks, dtype=torch.float64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) softmax(log(l / z) / mu) / l."""
        logs = masked.log(tasks.losses, tasks.present)
        warm = self.steps >= self.warmup
        distance = torch.where(warm, logs - masked.log(self.reference, tasks.present), 0.0)
        taken = tasks.present & tasks.losses.isfinite() & ~warm
        self.steps += taken
        self.reference += torch.where(taken, (tasks.losses - self.reference) / self.steps, 0.0)
        return masked.softmax(distance / self.mu - logs, tasks.present)
