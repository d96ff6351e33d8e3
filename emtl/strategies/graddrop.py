"""Gradient sign dropout."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import draws, validate
from emtl.strategy import Needs, Strategy, Tasks, register


@register("graddrop")
class GradDrop(Strategy):
    """GradDrop (Chen et al. 2020, arXiv:2010.06808): each feature at the fork lets gradients of one sign through, drawn by its purity.

    With G_kf task k's gradient at feature f, times the sign of the feature's value and summed over the batch (the paper's rule for
    layers with a row an example), P_f = (1 + sum_k G_kf / sum_k |G_kf|) / 2 and u_f uniform in (0, 1): the positive ones pass where
    P_f > u_f, the negative ones where P_f < u_f, the others times `leak`. A task's factor at a feature goes for all rows.

    The sums are those of the global batch and u_f is a function of `seed`, the number of earlier steps and f alone, so the factors
    are the same on every rank and for every number of ranks.

    Deviations: factors are scaled so that the tasks' means over features sum to K, which `Balancer.weights` then reports; the
    paper keeps them in {leak, 1}, an update shorter by the part that is dropped. Where every G_kf is 0, nothing is dropped.
    Only for scope `representation`, not `lagged`, and solved in every step.

    Args:
        num_tasks: K.
        leak: K numbers in [0, 1], or one for all: the part of a dropped gradient that passes all the same.
        seed: of the draws, an integer in [0, 2^63).
    """

    needs = Needs.TENSORS
    coordinatewise = True
    signed = True
    step: Tensor
    leaks: Tensor

    def __init__(self, num_tasks: int, leak: float | list[float] = 0.0, seed: int = 0) -> None:
        super().__init__(num_tasks)
        self.seed = validate.integer("seed", seed, 0, (1 << 63) - 1)
        given = list(leak) if isinstance(leak, list | tuple) else [leak] * num_tasks
        if len(given) != num_tasks:
            raise ValueError(f"leak must be a number, or a list of {num_tasks}, but got {leak!r}")
        checked = [validate.number("leak", entry, 0, 1) for entry in given]
        self.register_buffer("leaks", torch.tensor(checked, dtype=torch.float64), persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K, F) factors: 1 for what passes, the task's leak for what doesn't."""
        assert tasks.features is not None
        signs = torch.where(tasks.present[:, None], tasks.features, 0.0)
        size = signs.abs().sum(0)
        purity = (1 + torch.where(size == 0, 0.0, signs.sum(0) / torch.where(size == 0, 1.0, size))) / 2
        drawn = draws.uniform(self.seed, self.step, len(size))
        self.step += tasks.present.any()
        passes = torch.where(purity > drawn, signs > 0, signs < 0) | (size == 0)
        return torch.where(passes, 1.0, self.leaks[:, None])
