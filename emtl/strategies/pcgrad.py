"""PCGrad: projecting conflicting gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import validate
from emtl.gram import normalise
from emtl.strategies.orders import orders
from emtl.strategies.solved import known
from emtl.strategy import Strategy, Tasks, register


@register("pcgrad")
class PCGrad(Strategy):
    """PCGrad (Yu et al. 2020, arXiv:2001.06782): what conflicts with another task is removed from each gradient, then they are summed.

    For each task i: v = g_i; for the others j in random order: if v.g_j < 0, v -= (v.g_j / s_j^2) g_j. The update is the sum of the v.
    All v are combinations of gradients, whose coefficients follow from the Gram matrix: exact, and always >= 0.

    Deviations: the order is a function of `seed` and of the number of steps (in a buffer), the same on every rank. Scaled to sum
    K: the direction is PCGrad's, the length isn't. Degenerate gradients need no special care; antiparallel ones sum to an update of 0.

    Args:
        num_tasks: K.
        seed: of the random orders, in [0, 2^63).
    """

    steps: Tensor

    def __init__(self, num_tasks: int, seed: int = 0) -> None:
        super().__init__(num_tasks)
        self.seed = validate.integer("seed", seed, 0, 2**63 - 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) sums of the projected gradients' coefficients."""
        cosines, norms = normalise(known(tasks.gram))
        order, takes_place = orders(self.seed, self.steps, tasks.present)
        self.steps += tasks.present.any()
        parts = torch.eye(len(norms), dtype=norms.dtype, device=norms.device)  # row i: v / s_i in unit gradients
        for other, meets in zip(order.unbind(1), takes_place.unbind(1), strict=True):
            overlap = (parts @ cosines).gather(1, other[:, None])
            parts = parts.scatter_add(1, other[:, None], torch.where(meets[:, None], -overlap, 0.0).clamp(min=0))
        return norms @ parts / norms
