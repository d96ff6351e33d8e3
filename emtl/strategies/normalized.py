"""Normalised gradients."""

from __future__ import annotations

from torch import Tensor

from emtl import masked
from emtl.strategy import Strategy, Tasks, register

CAP = 1e12
"""How many times smaller than the largest a gradient norm may be before it counts as that small."""


@register("normalized")
class Normalized(Strategy):
    """Every task's gradient gets the same length: w_k ~ 1 / s_k.

    That is `EMTL` without a regulariser or moving average, and GradNorm (Chen et al. 2018, arXiv:1711.02257) at its fixed point
    for alpha = 0. Norms below 1 / `CAP` (1e-12) of the largest count as that, so that weights stay finite for s_k -> 0.
    """

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) reciprocal norms."""
        return 1 / tasks.norms.maximum(masked.largest(tasks.norms, tasks.present) / CAP)
