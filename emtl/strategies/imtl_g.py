"""IMTL-G: equal projections."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import solvers
from emtl.gram import normalise
from emtl.strategies.solved import Solved, capped, known
from emtl.strategy import Tasks, register


@register("imtl_g")
class IMTLG(Solved):
    """IMTL-G (Liu et al., ICLR 2021, openreview.net/forum?id=IMPnRXEWpvr): the update has the same projection on every task's gradient.

    d.g_k / s_k is equal for all k: w ~ C^-1 1 / s, with C the cosine matrix. Weights may be negative.

    Deviations: the paper normalises to sum w = 1, which turns the update round (against every task) where C^-1 1 / s has a sum below 0;
    here the common projection is always positive. Scaled to sum K, or, where weights cancel, by the rule of `emtl.strategy.scaled`.
    Norms below 1e-12 of the largest count as that when divided by.

    C without full rank: the least-squares solution of C x = 1, unless gradients can be combined to 0 with lengths that have a sum other
    than 0; then x is that combination, whose update is 0, as it is at a stationary point.

    Args:
        num_tasks: K; any number.
    """

    may_be_negative = True
    most_tasks = 1 << 30

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) C^-1 1 / s."""
        cosines, _ = normalise(known(tasks.gram))
        lengths = solvers.solve_symmetric(cosines, tasks.present.double()[:, None]).squeeze(-1)
        return self.settled(tasks, lengths / capped(tasks), torch.ones_like(tasks.present.any()))
