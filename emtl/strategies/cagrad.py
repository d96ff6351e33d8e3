"""Conflict-averse gradient descent."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers, validate
from emtl.gram import normalise
from emtl.strategies.solved import Solved, known
from emtl.strategy import Tasks, register


@register("cagrad")
class CAGrad(Solved):
    """CAGrad (Liu et al. 2021, arXiv:2110.14048): the best worst task within a ball around the mean gradient g_0.

    max over norm(d - g_0) <= c norm(g_0) of min_k g_k.d. In the dual, d = g_0 + c norm(g_0) / norm(g_v) g_v, with v on the simplex:
    w_k = 1/K + c norm(g_0) / norm(g_v) v_k. c = 0 is the mean of the gradients.

    Deviations: solved exactly by enumeration, where published code descends numerically and gives 0 when one gradient is tiny next to
    the others. Scaled to sum K the ball's radius no longer shows in the length of the update: its direction is CAGrad's, its
    length isn't (the official `rescale` modes also are but factors).

    Where g_0 = 0, weights are equal.

    Args:
        num_tasks: K, at most 12.
        c: radius of the ball in parts of norm(g_0), at least 0; convergence is proven below 1.
    """

    def __init__(self, num_tasks: int, c: float = 0.4) -> None:
        super().__init__(num_tasks)
        self.c = validate.number("c", c, 0)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) 1/K + the scaled v."""
        uniform = masked.uniform(tasks.present)
        if self.c == 0:
            return uniform
        cosines, norms = normalise(known(tasks.gram))
        weights, found = solvers.conflict_averse(cosines, norms, tasks.present, self.c)
        pull = known(tasks.gram) @ uniform
        stationary = uniform @ pull <= 1e-28 * (uniform @ norms).square()
        return self.settled(tasks, torch.where(stationary, uniform, weights), found | stationary)
