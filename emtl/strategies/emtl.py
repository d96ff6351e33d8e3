"""Equitable multi-task learning."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.averages import MovingAverage
from emtl.strategies import shares
from emtl.strategy import Strategy, Tasks, register

CAP = 1e12
"""How far a contribution may lie from the median one, as a factor, in either direction."""


@register("emtl")
class EMTL(Strategy):
    """Equitable multi-task learning (Yuan & Zhang 2023, arXiv:2306.09373): brings the tasks' relative contributions together.

    This is a *reconstruction from the abstract*; the paper's method section and code were not at hand. From the abstract: the
    relative contribution of task k to the shared update is c_k = L_k / s_k, loss over raw gradient norm; making contributions
    closer improves generalisation; this is done by variance regularisation, without second derivatives or further passes.
    Our reading is everything else: that norms are held constant, that a step's weights are w_k = p_k / s_k with shares p from
    the contributions alone, the four forms of p below, the moving averages, and the cap.

    | `regularizer` | shares p | strength |
    | --- | --- | --- |
    | `chi2` | argmax p.c in a chi-square ball: mean c + sqrt(2 rho Var c) (Mao et al. 2021 on contributions) | `rho` >= 0 |
    | `variance` | slopes of mean c + lam Var(c) / mean(c) | `lam` >= 0 |
    | `kl` | argmax p.c in a KL ball: p ~ exp(c / tau) | `rho` >= 0 |
    | `log_variance` | p ~ c^-(1 - alpha), that is w ~ L^-(1 - alpha) s^-alpha | `alpha` in [0, 1] |

    An option that the chosen form doesn't use has no effect. rho = 0, lam = 0 and alpha = 1 give normalised gradients. A task's
    loss may be multiplied by any constant: its share and the direction of the update stay.

    Cap: a contribution further than a factor `CAP` (1e12) from the median of the tasks present (the lower one, if two are in the
    middle) counts as that far; for s_k -> 0 this floors the norm at L_k / (CAP * median c), so that weights stay finite.

    Args:
        num_tasks: K.
        regularizer: one of the forms above.
        rho: radius of the ball of `chi2` and `kl`.
        lam: strength of `variance`.
        alpha: place of `log_variance` between log-losses (0) and normalised gradients (1).
        beta: moving average of losses and norms, in [0, 1); 0 uses each step's own.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    takes_negative_losses = False

    def __init__(
        self,
        num_tasks: int,
        regularizer: str = "log_variance",
        rho: float = 0.1,
        lam: float = 0.5,
        alpha: float = 0.5,
        beta: float = 0.9,
    ) -> None:
        super().__init__(num_tasks)
        forms = {
            "chi2": partial(shares.chi2, rho=validate.number("rho", rho, 0)),
            "variance": partial(shares.variance, lam=validate.number("lam", lam, 0)),
            "kl": partial(shares.kl, rho=validate.number("rho", rho, 0)),
            "log_variance": partial(shares.log_variance, alpha=validate.number("alpha", alpha, 0, 1)),
        }
        self.shares = forms[validate.choice("regularizer", regularizer, forms)]
        self.losses = MovingAverage(num_tasks, beta)
        self.norms = MovingAverage(num_tasks, beta)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) shares over norms."""
        losses = self.losses.update(tasks.losses, tasks.present)
        norms = self.norms.update(tasks.norms, tasks.present)
        contributions, norms = capped(losses, norms, tasks.present)
        return self.shares(contributions, tasks.present) / norms


def capped(losses: Tensor, norms: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(K,) contributions over their median, kept within [1 / CAP, CAP], and the (K,) norms, raised where that lowers a contribution."""
    tiny = torch.finfo(torch.float64).tiny
    log_losses, log_norms = losses.clamp(min=tiny).log(), norms.clamp(min=tiny).log()
    contributions = log_losses - log_norms
    centre = masked.median(contributions, present)
    distance = (contributions - centre).clamp(-math.log(CAP), math.log(CAP))
    floor = log_losses - centre - distance
    return distance.exp(), torch.maximum(log_norms, floor).exp()
