"""Reductions over the tasks that are present in a step, on the tensors' device and without waiting for it.

`values` is (..., K) and `present` the (..., K) mask of the tasks that have a valid label; results keep the last dimension, as 1.
A strategy that is written with these leaves absent tasks out: what it returns for the others is what it would return without them.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOG_CAP = 1e12
"""How many times smaller than the largest a value may be before its logarithm is that of a value that small."""


def count(present: Tensor) -> Tensor:
    """(..., 1) number of tasks present, as float64 and at least 1."""
    return present.sum(-1, keepdim=True).clamp(min=1).double()


def total(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) sum over the tasks present."""
    return torch.where(present, values, 0.0).sum(-1, keepdim=True)


def mean(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) mean over the tasks present."""
    return total(values, present) / count(present)


def variance(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) population variance over the tasks present."""
    return mean((values - mean(values, present)).square(), present)


def largest(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) largest value among the tasks present."""
    return torch.where(present, values, -torch.inf).amax(-1, keepdim=True)


def smallest(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) smallest value among the tasks present."""
    return torch.where(present, values, torch.inf).amin(-1, keepdim=True)


def median(values: Tensor, present: Tensor) -> Tensor:
    """(..., 1) median over the tasks present; the lower one of the two in the middle."""
    ordered = torch.where(present, values, torch.inf).sort(-1).values
    middle = (present.sum(-1, keepdim=True) - 1).clamp(min=0) // 2
    return ordered.gather(-1, middle)


def log(values: Tensor, present: Tensor) -> Tensor:
    """(..., K) logarithms of values of at least 0; one below 1 / `LOG_CAP` of the largest present counts as that, so that 0 is finite."""
    floor = (largest(values, present) / LOG_CAP).clamp(min=torch.finfo(torch.float64).tiny)
    return values.maximum(floor).log()


def uniform(present: Tensor) -> Tensor:
    """(..., K) equal shares of the tasks present."""
    return present.double() / count(present)


def softmax(logits: Tensor, present: Tensor) -> Tensor:
    """(..., K) softmax over the tasks present; 0 for the others."""
    shifted = torch.where(present, logits - largest(logits, present), -torch.inf)
    powers = shifted.exp()
    return powers / powers.sum(-1, keepdim=True)
