"""ConFIG: conflict-free inverse gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import solvers
from emtl.gram import normalise
from emtl.strategies.solved import Preferring, capped, known
from emtl.strategy import Tasks, register


@register("config")
class ConFIG(Preferring):
    """ConFIG (Liu, Chu & Thuerey 2024, arXiv:2408.11104): cosines of the update with the tasks' gradients in given proportions.

    u = pinv(unit gradients) p, d = (sum_k g_k.u / norm(u)) u / norm(u). As combinations: w ~ C^-1 p / s, with C the cosine matrix.
    Weights may be negative.

    Deviations: scaled to sum K, or, where weights cancel, by the rule of `emtl.strategy.scaled`, the length (the sum of
    projections) is lost, and with it what sets the method apart from `imtl_g`: for equal p both give the same weights here. C without
    full rank and tiny norms: as in `imtl_g`.

    Args:
        num_tasks: K; any number.
        pref_vector: K positive proportions p of the cosines; equal by default.
    """

    may_be_negative = True
    most_tasks = 1 << 30

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) C^-1 p / s."""
        cosines, _ = normalise(known(tasks.gram))
        wanted = torch.where(tasks.present, self.preferences * self.num_tasks, 0.0)
        lengths = solvers.solve_symmetric(cosines, wanted[:, None]).squeeze(-1)
        return self.settled(tasks, lengths / capped(tasks), torch.ones_like(tasks.present.any()))
