"""BanditMTL."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.strategies import shares
from emtl.strategy import Needs, Strategy, Tasks, register

LOWEST = -700.0
"""Smallest logarithm of K p that is kept, near that of the smallest number: a share of 0 could never grow again."""


@register("bandit")
class Bandit(Strategy):
    """BanditMTL (Mao et al., ACL 2021): the mean and the spread of the losses brought down together, through an adversary's shares.

    mean l + sqrt(2 rho Var l) is about max over {p : KL(p, 1/K) <= rho} of p.l. The adversary p climbs by mirror ascent within that ball:
    p <- (p e^(eta l))^(1 / (1 + lam)), normalised, with the smallest lam >= 0 that leaves KL(p, 1/K) <= rho; w = K p.

    Computed in logarithms, so no e^(eta l) overflows; lam to about 1e-15 (`shares.kl`). Deviations: weights sum to K, where the paper's
    sum to 1 (its learning rate is K times ours). Tasks absent keep their share, and those present move among themselves, within the
    ball around their own equal shares. Large losses get more weight, so constant factors matter. Any finite loss is taken, also of 0
    and below: only differences count.

    Args:
        num_tasks: K.
        rho: radius of the ball, at least 0 (equal weights).
        eta: step size of the adversary, above 0.
    """

    needs = Needs.LOSSES
    log_shares: Tensor

    def __init__(self, num_tasks: int, rho: float = 0.05, eta: float = 0.5) -> None:
        super().__init__(num_tasks)
        self.rho = validate.number("rho", rho, 0)
        self.eta = validate.positive("eta", eta)
        self.register_buffer("log_shares", torch.zeros(num_tasks, dtype=torch.float64))  # of K p

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) K p after this step's ascent."""
        taken = tasks.present & tasks.losses.isfinite()
        climbed = self.log_shares + self.eta * tasks.losses
        climbed = climbed - masked.smallest(climbed, taken)
        free = masked.softmax(climbed, taken)
        divergence = masked.count(taken).log() - torch.special.entr(free).sum(-1, keepdim=True)
        found = torch.where(divergence <= self.rho, free, shares.kl(climbed, taken, self.rho))
        kept = masked.total(self.log_shares.exp(), taken)
        self.log_shares.copy_(torch.where(taken, (found * kept).log().clamp(min=LOWEST), self.log_shares))
        return self.log_shares.exp()
