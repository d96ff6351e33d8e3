"""Sums over lists of different lengths that lie one behind the other: rows B, elements N."""

from __future__ import annotations

import torch
from torch import Tensor


def row_of_each(lengths: Tensor, elements: int) -> Tensor:
    """(N,) the row that each element belongs to, from (B,) lengths that sum to `elements`; no host synchronisation."""
    return torch.repeat_interleave(torch.arange(lengths.numel(), device=lengths.device), lengths, output_size=elements)


def segment_sum(values: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """(B, D) sums of (N, D) values by (N,) rows; zeros for a row without elements."""
    return values.new_zeros(lengths.numel(), values.size(1)).index_add(0, rows, values)


def segment_mean(values: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """(B, D) means of (N, D) values by (N,) rows; zeros for a row without elements."""
    return segment_sum(values, rows, lengths) / lengths.clamp(min=1).unsqueeze(1)
