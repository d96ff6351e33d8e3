"""Gradient vaccine."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import validate
from emtl.gram import normalise
from emtl.strategies.orders import orders
from emtl.strategies.solved import known
from emtl.strategy import Strategy, Tasks, register

MOST = 1 - 1e-8
"""A target is taken to be at most this, where reaching a cosine of 1 would take an infinite step."""


@register("gradvac")
class GradVac(Strategy):
    """GradVac (Wang et al. 2021, arXiv:2010.05874): the cosine of two gradients is raised to its moving average.

    For each task i: v = g_i; for the others j in random order, with phi = cos(v, g_j) and its target t_ij: if phi < t_ij,
    v += |v| (t sqrt(1 - phi^2) - phi sqrt(1 - t^2)) / (s_j sqrt(1 - t^2)) g_j; then t_ij += beta (phi - t_ij). The update is the sum of
    the v, whose coefficients follow from the Gram matrix. Targets start at 0, where this is `pcgrad`.

    Deviations: the order is a function of `seed` and of the number of steps (in a buffer), the same on every rank. Scaled to sum K: the
    direction is GradVac's, the length isn't. One target a pair of tasks for all that is shared, not one a layer. Targets count as at most
    1 - 1e-8 in size. A v of length 0 (antiparallel gradients) is left at 0 and teaches no target.

    Args:
        num_tasks: K.
        beta: what a step adds to the moving average, in [0, 1].
        seed: of the random orders, in [0, 2^63).
    """

    steps: Tensor
    targets: Tensor

    def __init__(self, num_tasks: int, beta: float = 0.01, seed: int = 0) -> None:
        super().__init__(num_tasks)
        self.beta = validate.number("beta", beta, 0, 1)
        self.seed = validate.integer("seed", seed, 0, 2**63 - 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("targets", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) sums of the raised gradients' coefficients."""
        cosines, norms = normalise(known(tasks.gram))
        order, takes_place = orders(self.seed, self.steps, tasks.present)
        self.steps += tasks.present.any()
        parts = torch.eye(len(norms), dtype=norms.dtype, device=norms.device)  # row i: v / s_i in unit gradients
        for other, meets in zip(order.unbind(1), takes_place.unbind(1), strict=True):
            parts = self._meet(parts, cosines, other[:, None], meets[:, None])
        return norms @ parts / norms

    def _meet(self, parts: Tensor, cosines: Tensor, other: Tensor, meets: Tensor) -> Tensor:
        """The (K, K) coefficients after each task has met one `other` (K, 1); moves the targets of those pairs."""
        products = parts @ cosines
        length = (products * parts).sum(1, keepdim=True).clamp(min=0).sqrt()
        phi = (products.gather(1, other) / length).clamp(-1, 1)
        meets = meets & phi.isfinite() & (length > 1e-7)
        target = self.targets.gather(1, other)
        moved = torch.where(meets, torch.lerp(target, phi, self.beta), target)
        self.targets.copy_(self.targets.scatter(1, other, moved))
        aim = target.clamp(-MOST, MOST)
        raised = length * (aim * ((1 - phi.square()) / (1 - aim.square())).sqrt() - phi)
        return parts.scatter_add(1, other, torch.where(meets & (phi < target), raised, 0.0))
