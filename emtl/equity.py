"""What a run logs about its tasks: how equal they are and how much they conflict."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from emtl import masked
from emtl.gram import normalise


@dataclass(frozen=True)
class Equity:
    """How a step's update was shared out, as tensors on the device; 0 for a task that is absent (no gradient).

    Attributes:
        contributions: (K,) relative contributions c_k = L_k / s_k, with s_k the norm of the raw gradient.
        shares: (K,) w_k s_k / sum_j w_j s_j: the part of the update's length that is the task's.
        norms: (K,) norms s_k of the raw gradients.
        cosines: (K, K) cosines between the raw gradients; below 0 two tasks conflict.
        conflict: () conflict rate: the part of the pairs of present tasks whose cosine is below 0.
        variance: () Var(c) / mean(c)^2 over the tasks present, which no common factor changes: what EMTL brings down.
    """

    contributions: Tensor
    shares: Tensor
    norms: Tensor
    cosines: Tensor
    conflict: Tensor
    variance: Tensor


@torch.no_grad()
def equity(losses: Tensor, gram: Tensor, weights: Tensor) -> Equity:
    """The `Equity` of a step from its (K,) losses, (K, K) Gram matrix and (K,) weights; nothing waits for the device."""
    losses, gram, weights = losses.double(), gram.double(), weights.double()
    cosines, norms = normalise(gram)
    present = norms != 0
    contributions = torch.where(present, losses / norms, 0.0)
    lengths = weights * norms
    shares = lengths / torch.where(present.any(), lengths.sum(), 1.0)
    relative = contributions / masked.mean(contributions, present)
    variance = masked.variance(relative, present).squeeze()
    return Equity(contributions, shares, norms, cosines, _conflict_rate(cosines, present), variance)


def _conflict_rate(cosines: Tensor, present: Tensor) -> Tensor:
    """() part of the pairs of tasks present with a negative cosine; 0 without a pair."""
    pairs = (present & present[:, None]).triu(1)
    return ((cosines < 0) & pairs).sum() / pairs.sum().clamp(min=1)
