"""The tasks' gradients at the fork, summed over the rows of the batch: what can be compared from one batch to the next.

The rows of a shared tensor are other examples in every step and on every rank, so a state or a draw for each of its numbers would
mean nothing. A sum over rows has one number a feature, is the gradient of a bias added to the shared tensor, and adds up over ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emtl.gram import BLOCK


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
    sums = [_sums(parts, tensor, signed) for parts, tensor in zip(zip(*gradients, strict=True), shared, strict=True)]
    return torch.cat(sums, dim=1)


def _sums(parts: Sequence[Tensor | None], shared: Tensor, signed: bool) -> Tensor:
    """(K, width) of one shared tensor: in the gradients' precision within a block of rows, in float64 over blocks."""
    features = width(shared)
    rows = max(1, (BLOCK if shared.device.type == "cpu" else shared.numel()) // max(features, 1))
    blocks = [None if part is None else part.reshape(len(shared), features).split(rows) for part in parts]
    total = torch.zeros(len(parts), features, dtype=torch.float64, device=shared.device)
    for number, values in enumerate(shared.detach().reshape(len(shared), features).split(rows)):
        signs = values.sign() if signed else None  # of all tasks, while the block is in the cache
        for task, own in enumerate(blocks):
            if own is not None:
                total[task] += (own[number] if signs is None else own[number] * signs).sum(0)
    return total
