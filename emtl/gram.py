"""The Gram matrix of the tasks' gradients, and the weighted sum of those gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 1 << 17
"""Numbers of a gradient that are multiplied while they are in a CPU's cache: a block is read from memory once, not once a pair."""


def widened(part: Tensor | None) -> Tensor | None:
    """`part` in float32 if it is in half precision, as it is otherwise."""
    return part.float() if part is not None and part.dtype in (torch.bfloat16, torch.float16) else part


def gram_matrix(gradients: Sequence[Sequence[Tensor | None]], device: torch.device) -> Tensor:
    """(K, K) scalar products, float64, of K gradients, each a sequence of tensors; None stands for zeros.

    Products are summed in the gradients' precision within a block, in float64 over blocks and tensors. A gradient whose squares
    are below the smallest float32 has norm 0.
    """
    tasks = range(len(gradients))
    gram = torch.zeros(len(gradients), len(gradients), dtype=torch.float64, device=device)
    zero = torch.zeros((), dtype=torch.float64, device=device)
    for parts in zip(*gradients, strict=True):
        flat = {task: part.reshape(-1) for task, part in enumerate(parts) if part is not None}
        products = _products(flat)
        gram += torch.stack([products.get((min(i, j), max(i, j)), zero) for i in tasks for j in tasks]).view_as(gram)
    return gram


def _products(flat: dict[int, Tensor]) -> dict[tuple[int, int], Tensor]:
    """The scalar product, float64, of each pair (i <= j) of vectors of one length."""
    blocks = {task: part.split(BLOCK if part.device.type == "cpu" else max(part.numel(), 1)) for task, part in flat.items()}
    pairs = [(i, j) for i in blocks for j in blocks if i <= j]
    if not pairs:
        return {}
    number = len(next(iter(blocks.values())))
    products = [torch.dot(blocks[i][block], blocks[j][block]) for block in range(number) for i, j in pairs]
    sums = torch.stack(products).double().view(number, len(pairs)).sum(0)
    return dict(zip(pairs, sums.unbind(), strict=True))


def weighted_sum(parts: Sequence[Tensor | None], weights: Tensor) -> Tensor | None:
    """sum_k w_k g_k of K tensors of one shape and dtype; None if there is none."""
    result: Tensor | None = None
    for part, weight in zip(parts, weights.unbind(), strict=True):
        if part is None:
            continue
        weight = weight.to(part.dtype)
        # The first product is a new tensor: an incoming gradient may be shared with other nodes and is never written to.
        result = part * weight if result is None else result.addcmul_(part, weight)
    return result


def normalise(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The (K, K) cosines and (K,) norms of a Gram matrix; a task without gradient has cosine 1 with itself and 0 with the others."""
    norms = gram.diagonal().sqrt()
    none = norms == 0
    safe = torch.where(none, 1.0, norms)
    return gram / safe / safe[:, None] + torch.diag(none.to(gram.dtype)), norms
