"""Nash-MTL: the bargaining solution."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import solvers
from emtl.gram import normalise
from emtl.strategies.solved import Solved, capped, known
from emtl.strategy import Tasks, register


@register("nash")
class NashMTL(Solved):
    """Nash-MTL (Navon et al. 2022, arXiv:2202.01017): the tasks bargain for the update; the product of their improvements is largest.

    G w = 1 / w, w > 0. No scale of any loss matters. For two tasks w_k = (1 + cos)^(-1/2) / s_k.

    Deviations: solved to the end by Newton's method on the convex problem behind it, in every step (`Balancer` can solve more seldom); the
    published code linearises, stops after 20 rounds and, where its solver fails, leaves weights of 1 for ever. Scaled to sum K, in
    place of `max_norm`.

    Antiparallel and stationary gradients: the weights that combine them to 0, by 1e-14 on the diagonal of the cosine matrix.
    Norms below 1e-12 of the largest count as that when divided by.

    Args:
        num_tasks: K; any number.
    """

    most_tasks = 1 << 30

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) w = v / s, with C v = 1 / v."""
        cosines, _ = normalise(known(tasks.gram))
        values, found = solvers.equilibrium(cosines, torch.ones_like(tasks.losses), 1.0)
        return self.settled(tasks, values / capped(tasks), found)
