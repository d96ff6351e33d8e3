"""The forms of the regulariser of `EMTL`: shares p of the tasks from their relative contributions c, each in a pure function.

All take contributions (..., K) >= 0 in float64 and the mask (..., K) of the tasks present, and return shares (..., K) that sum to 1
over those tasks. n is the number of tasks present, mean and variance are over them. None of them changes if all c are multiplied
by one factor. Only torch operations of a fixed number, so nothing waits for the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from emtl import masked

EQUAL = 1e-12
"""Contributions whose spread is below this part of the largest are equal: what is left is rounding, which `chi2` would blow up."""


def chi2(contributions: Tensor, present: Tensor, rho: float) -> Tensor:
    """argmax of p.c over the shares with (1/2n) sum_k (n p_k - 1)^2 <= rho: the dual of mean c + sqrt(2 rho Var c).

    The optimum is non-zero on the m largest c for some m. For each m, the optimum of that face (negative shares allowed) is
    p = 1/m + r (c - mean_m c) / ||c - mean_m c||, r^2 = (2 rho + 1)/n - 1/m. The largest m for which r exists and no share is
    negative is exact: it is feasible, and no face that holds the true optimum can do better than its relaxation.
    """
    tasks = contributions.shape[-1]
    order = torch.where(present, contributions, -torch.inf).argsort(-1, descending=True)
    ranked = torch.where(present, contributions, 0.0).gather(-1, order)
    size = torch.arange(1, tasks + 1, dtype=torch.float64, device=contributions.device)
    face = torch.ones(tasks, tasks, dtype=torch.float64, device=contributions.device).tril()  # row m - 1: the m largest

    centred = face * (ranked[..., None, :] - ranked.cumsum(-1)[..., :, None] / size[:, None])
    length = centred.norm(dim=-1)
    direction = torch.where(length > EQUAL * ranked[..., :1], 1 / length, 0.0)[..., None] * centred
    room = (2 * rho + 1) / masked.count(present) - 1 / size
    shares = face / size[:, None] + room.clamp(min=0).sqrt()[..., None] * direction

    rounding = 1e-15
    holds = (room >= -rounding) & (shares.amin(-1) >= -rounding) & (size <= masked.count(present))
    best = (holds * size).argmax(-1, keepdim=True)[..., None].expand(*shares.shape[:-2], 1, tasks)
    ranked_shares = shares.gather(-2, best).squeeze(-2).clamp(min=0)
    return torch.zeros_like(ranked_shares).scatter(-1, order, ranked_shares)


def variance(contributions: Tensor, present: Tensor, lam: float) -> Tensor:
    """n d/dc_k of mean c + lam Var(c) / mean(c), floored at 0 and scaled to sum 1.

    That derivative is 1 + 2 lam (c_k / mean c - 1) - lam Var(c) / mean(c)^2. The largest c_k keeps it at 1 or more, because
    Var(c) / mean(c)^2 <= c_max / mean c - 1, so the sum is never 0.
    """
    relative = contributions / masked.mean(contributions, present)
    slopes = 1 + 2 * lam * (relative - 1) - lam * masked.variance(relative, present)
    shares = torch.where(present, slopes, 0.0).clamp(min=0)
    return shares / shares.sum(-1, keepdim=True)


def kl(contributions: Tensor, present: Tensor, rho: float) -> Tensor:
    """argmax of p.c over the shares with KL(p, 1/n) <= rho: p ~ exp(c / tau), with the tau >= 0 at which KL is rho.

    With c scaled to [-1, 0], KL grows with 1 / tau. log(1 / tau) is enclosed in a grid of 2048 intervals, five times over, which
    leaves 3e-17 of the first interval. Where even the shares of the largest c alone are inside, they are the answer.
    """
    if rho == 0:
        return masked.uniform(present)
    top = masked.largest(contributions, present)
    span = top - masked.smallest(contributions, present)
    scaled = torch.where(span > EQUAL * top, (contributions - top) / span, 0.0)

    low = torch.full_like(top, math.log(1e-9))
    high = torch.full_like(top, math.log(1e15))
    steps = torch.linspace(0, 1, 2049, dtype=torch.float64, device=top.device)
    for _ in range(5):
        grid = low + (high - low) * steps  # (..., 2049)
        shares = masked.softmax(grid.exp()[..., None] * scaled[..., None, :], present[..., None, :])
        divergence = masked.count(present).log() - torch.special.entr(shares).sum(-1)
        below = (divergence <= rho).sum(-1, keepdim=True).clamp(1, 2048)
        low, high = grid.gather(-1, below - 1), grid.gather(-1, below)
    return masked.softmax(((low + high) / 2).exp() * scaled, present)


def log_variance(contributions: Tensor, present: Tensor, alpha: float) -> Tensor:
    """p ~ c^-(1 - alpha), so that w = p / s ~ L^-(1 - alpha) s^-alpha.

    These weights minimise (1 - alpha) Var_k log(w_k L_k) + alpha Var_k log(w_k s_k). alpha 0 is the gradient of the log-losses,
    alpha 1 that of normalised gradients.
    """
    return masked.softmax((alpha - 1) * contributions.log(), present)
