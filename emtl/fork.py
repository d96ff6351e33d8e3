"""The one-backward fork: K gradients of the shared tensors arrive, one weighted sum goes down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from emtl.features import row_sums, width
from emtl.gram import gram_matrix, weighted_sum, widened


@dataclass
class Step:
    """What the fork and the total of one forward pass share with their backward.

    Attributes:
        weigh: turns the local losses, Gram matrix and sums over rows into the global weights (or factors); the latter two are None
            if they aren't needed.
        needs_gram: whether the fork forms the Gram matrix.
        needs_features: whether it sums the gradients over rows, too.
        signed: whether these are sums of the gradients times the sign of the shared value.
        losses: (K,) local losses, once `total` has seen them.
        scale: () gradient that arrived at the total, such as a loss scale or 1 / accumulated batches.
        weights: (K,) weights that were found before the backward or by a later fork; this fork then measures nothing.
        measured_at: number of the fork that found them; it measures anew in another backward of the same graph.
        forks: number of forks of the forward pass.
        measuring: the fork lets gradients through as they are, one task at a time.
    """

    weigh: Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
    needs_gram: bool
    needs_features: bool = False
    signed: bool = False
    losses: Tensor | None = None
    scale: Tensor | None = None
    weights: Tensor | None = None
    measured_at: int | None = None
    forks: int = 0
    measuring: bool = False


class Fork(torch.autograd.Function):
    """(step, tasks, *shared) -> tasks views of each shared tensor, task by task; see `emtl.Balancer.fork`."""

    @staticmethod
    def forward(ctx: Any, step: Step, tasks: int, *shared: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.step, ctx.tasks, ctx.number = step, tasks, step.forks
        step.forks += 1
        if step.needs_features:
            ctx.save_for_backward(*shared)
        return tuple(tensor.view_as(tensor) for _ in range(tasks) for tensor in shared)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        width = len(gradients) // ctx.tasks
        by_task = [gradients[task * width : (task + 1) * width] for task in range(ctx.tasks)]
        if ctx.step.measuring:
            return None, None, *(_plain_sum(parts) for parts in zip(*by_task, strict=True))
        given = next(gradient for gradient in gradients if gradient is not None)
        return None, None, *_combine(ctx.step, by_task, given.device, ctx.number, ctx.saved_tensors)


class Total(torch.autograd.Function):
    """(losses (K,), step) -> their sum; its backward notes the factor that the caller put on it."""

    @staticmethod
    def forward(ctx: Any, losses: Tensor, step: Step) -> Tensor:
        ctx.step, ctx.tasks = step, len(losses)
        return losses.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.step.scale = gradient
        return gradient.expand(ctx.tasks), None


def _combine(
    step: Step, by_task: Sequence[Sequence[Tensor | None]], device: torch.device, number: int = 0, shared: Sequence[Tensor] = ()
) -> list[Tensor | None]:
    """The weighted sum of the tasks' gradients, for each shared tensor."""
    wide = [[widened(part) for part in parts] for parts in by_task]
    if step.weights is None or step.measured_at == number:
        step.weights, step.measured_at = _measured_weights(step, wide, device, shared), number
    elif step.weights.dim() > 1:
        raise RuntimeError("a strategy that weighs each feature needs all shared tensors in one fork")
    sums = [
        weighted_sum(parts, weights) for parts, weights in zip(zip(*wide, strict=True), _split(step.weights, wide, shared), strict=True)
    ]
    dtypes = [next((part.dtype for part in parts if part is not None), None) for parts in zip(*by_task, strict=True)]
    return [None if total is None else total.to(dtype) for total, dtype in zip(sums, dtypes, strict=True)]


def _split(weights: Tensor, gradients: Sequence[Sequence[Tensor | None]], shared: Sequence[Tensor]) -> list[Tensor]:
    """For each shared tensor the (K,) weights, or its (K, 1, ...) part of the factors."""
    if weights.dim() == 1:
        return [weights] * len(gradients[0])
    parts = weights.split([width(tensor) for tensor in shared], dim=1)
    return [part.reshape(len(weights), 1, *tensor.shape[1:]) for part, tensor in zip(parts, shared, strict=True)]


def _measured_weights(step: Step, gradients: Sequence[Sequence[Tensor | None]], device: torch.device, shared: Sequence[Tensor]) -> Tensor:
    if step.losses is None or step.scale is None:
        raise RuntimeError(
            "the backward reached a fork without its losses: call fork() once a step, with all shared tensors, then total(losses), "
            "and backward() on what total() returned"
        )
    gram = features = None
    # Divided out, so that the averages of the norms don't depend on a loss scale. A scale of 0 leaves only zeros.
    scale = torch.where(step.scale == 0, 1.0, step.scale.double())
    if step.needs_gram:
        gram = gram_matrix(gradients, device) / scale.square()
    if step.needs_features:
        features = row_sums(gradients, shared, step.signed) / scale
    return step.weigh(step.losses, gram, features)


def _plain_sum(parts: Sequence[Tensor | None]) -> Tensor | None:
    known = [part for part in parts if part is not None]
    return reduce(torch.add, known) if known else None
