"""Aligned-MTL: all principal components at one scale."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl.eigen import eigen
from emtl.strategies.solved import Preferring, known
from emtl.strategy import Tasks, register

NULL = 1e-14
"""An eigenvalue below this part, a task, of what could cancel in it is rounding: the gradients are dependent."""


@register("aligned")
class AlignedMTL(Preferring):
    """Aligned-MTL (Senushkin et al. 2023, arXiv:2305.19000): the gradients are made orthogonal and equally long, as near as can be.

    w = sqrt(lam_min) V L^(-1/2) V' p, with G = V L V'. Weights may be negative.

    Deviations: scaled to sum K (by the rule of `emtl.strategy.scaled` where weights cancel), the factor sqrt(lam_min), or the one with
    the median or the root mean square in its place (`scale_mode` elsewhere), drops out, and so does the official code's factor K.
    Eigenvectors come from Jacobi's method, exact also for norms that differ by orders of magnitude.

    Dependent gradients (rank-deficient, antiparallel, stationary): the inverse is over the other eigenvalues alone, as in the paper.

    Args:
        num_tasks: K; any number, though the cost grows with its cube.
        pref_vector: K positive weights p; equal by default.
    """

    may_be_negative = True
    most_tasks = 1 << 30

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) V L^(-1/2) V' p."""
        values, vectors = eigen(known(tasks.gram))
        noise = NULL * self.num_tasks * (vectors.abs().T @ tasks.norms).square()
        roots = torch.where(values > noise, values.clamp(min=torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
        wanted = torch.where(tasks.present, self.preferences, 0.0)
        weights = vectors @ (roots * (vectors.T @ wanted))
        return self.settled(tasks, weights, torch.ones_like(tasks.present.any()))
