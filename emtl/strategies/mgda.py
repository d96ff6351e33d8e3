"""The multiple-gradient descent algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers, validate
from emtl.gram import normalise
from emtl.strategies.solved import Solved, capped, known
from emtl.strategy import Tasks, register

NORMALIZATIONS = ("none", "l2", "loss", "loss+")


@register("mgda")
class MGDA(Solved):
    """MGDA (Sener & Koltun 2018, arXiv:1810.04650): the shortest convex combination of the gradients.

    w = argmin w'Gw over w >= 0, sum w = 1: every task improves, or the point is Pareto-stationary. With a `normalization` the same for
    the gradients g_k / n_k, n_k = s_k (`l2`), l_k (`loss`) or l_k s_k (`loss+`); then w_k = v_k / n_k, v the solution.

    Deviations: solved exactly by enumeration instead of by Frank-Wolfe steps that may stop early, without clipping at the corners. With
    a normalisation the published code puts v on the raw gradients, which is no common descent direction; here the update is the
    shortest combination itself. Scaling to sum K removes nothing for `none` (the simplex has sum 1: the factor is K); the update's
    length still vanishes at Pareto-stationary points. With a normalisation the factor differs from step to step. Losses and norms to
    divide by below 1e-12 of the largest count as that.

    Antiparallel and rank-deficient gradients have an exact answer. Of several, any.

    Args:
        num_tasks: K, at most 12.
        normalization: `none`, `l2`, `loss` or `loss+`.

    Raises (from `weights`):
        ValueError: a loss is negative and the normalisation uses losses.
    """

    def __init__(self, num_tasks: int, normalization: str = "none") -> None:
        super().__init__(num_tasks)
        self.normalization = validate.choice("normalization", normalization, NORMALIZATIONS)
        self.takes_negative_losses = not self.normalization.startswith("loss")

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) the solution over the normalisers."""
        cosines, norms = normalise(known(tasks.gram))
        normalisers = self._normalisers(tasks)
        weights, found = solvers.smallest_norm(cosines, norms / normalisers, tasks.present, torch.zeros_like(norms))
        return self.settled(tasks, weights / normalisers, found)

    def _normalisers(self, tasks: Tasks) -> Tensor:
        ones = torch.ones_like(tasks.losses)
        losses = masked.log(tasks.losses, tasks.present).exp() if self.normalization.startswith("loss") else ones
        return {"none": ones, "l2": capped(tasks), "loss": losses, "loss+": losses * capped(tasks)}[self.normalization]
