"""DualProj: the mean gradient, projected onto the dual cone."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers
from emtl.gram import normalise
from emtl.strategies.solved import Preferring, known
from emtl.strategy import Tasks, register


@register("dualproj")
class DualProj(Preferring):
    """DualProj (Lopez-Paz & Ranzato 2017, arXiv:1706.08840, as in TorchJD): the update nearest to the mean gradient that harms no task.

    d = P(sum_k p_k g_k), P the projection onto {d : g_j.d >= 0 for all j}. Without conflict that is the mean.

    Deviations: as for `upgrad`, exact instead of with a ridge. Scaled to sum K: the direction is DualProj's, the length isn't.

    Antiparallel, rank-deficient: exact. Stationary: the update is 0. Which of several weights with one update: any.

    Args:
        num_tasks: K, at most 12.
        pref_vector: K positive weights p; equal by default.
    """

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) the coefficients of the projection."""
        cosines, norms = normalise(known(tasks.gram))
        relative = norms / masked.largest(norms, tasks.present)
        start = torch.where(tasks.present, self.preferences * relative, 0.0)
        projected, found = solvers.onto_dual_cone(cosines, start[None])
        return self.settled(tasks, self.preferences + (projected[0] - start).clamp(min=0) / relative, found)
