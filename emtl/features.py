"""The tasks' gradients at the fork, summed over the rows of the batch: what can be compared from one batch to the next.

The rows of a shared tensor are other examples in every step and on every rank, so a state or a draw for each of its numbers would
mean nothing. A sum over rows has one number a feature, is the gradient of a bias added to the shared tensor, and adds up over ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def width(shared: Tensor) -> int:
    """F of a shared tensor (B, ...): the numbers of one row."""
    return shared.shape[1:].numel()


def row_sums(gradients: Sequence[Sequence[Tensor | None]], shared: Sequence[Tensor], signed: bool) -> Tensor:
    """(K, F) sums over rows, float64, of K gradients of the shared tensors side by side; None stands for zeros.

    Args:
        gradients: for each task, a tensor for each shared one, of its shape.
        shared: tensors (B, ...); F counts the numbers of a row of all of them.
        signed: sum the gradients times the sign of the shared value.
    """
    return torch.stack([torch.cat([_sum(part, tensor, signed) for part, tensor in zip(parts, shared, strict=True)]) for parts in gradients])


def _sum(part: Tensor | None, shared: Tensor, signed: bool) -> Tensor:
    if part is None:
        return torch.zeros(width(shared), dtype=torch.float64, device=shared.device)
    turned = part * shared.sign() if signed else part
    return turned.reshape(len(shared), width(shared)).sum(0).double()
