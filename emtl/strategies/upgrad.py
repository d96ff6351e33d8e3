"""UPGrad: the mean of the gradients' projections onto the dual cone."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import solvers
from emtl.gram import normalise
from emtl.strategies.solved import Preferring, known
from emtl.strategy import Tasks, register


@register("upgrad")
class UPGrad(Preferring):
    """UPGrad (Quinton & Rey 2024, arXiv:2406.16232): each gradient is projected onto the cone of updates that harm no task, then averaged.

    d = sum_k p_k P(g_k), P the projection onto {d : g_j.d >= 0 for all j}. Without conflict that is the mean. For two tasks it is
    half of `pcgrad`.

    Deviations: the projection is exact, on the cosine matrix and by enumeration, where TorchJD adds a ridge relative to the trace of G,
    under which a task with small gradients loses its protection. Scaled to sum K: the direction is UPGrad's, the length (linear in
    each gradient in the paper) isn't.

    Antiparallel, rank-deficient: exact. Stationary: the update is 0. Which of several weights with one update: any.

    Args:
        num_tasks: K, at most 12.
        pref_vector: K positive weights p of the projections; equal by default.
    """

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) sum over the projected gradients of their coefficients."""
        cosines, norms = normalise(known(tasks.gram))
        projected, found = solvers.onto_dual_cone(cosines, torch.eye(len(norms), dtype=norms.dtype, device=norms.device))
        return self.settled(tasks, (self.preferences * norms) @ projected / norms, found)
