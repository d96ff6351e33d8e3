"""The Gram matrix of the tasks' gradients with respect to the shared parameters themselves: the reference, at K backwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch import distributed as dist

from emtl.gram import gram_matrix, widened


def parameter_gram(losses: Tensor, parameters: Sequence[Tensor], activations: Sequence[Tensor], group: dist.ProcessGroup | None) -> Tensor:
    """This rank's part of the (K, K) Gram matrix: the parts' sum over ranks, divided by the number of ranks squared, is the global one.

    Args:
        losses: (K,) losses, with their graph, which is kept.
        parameters: shared parameters, equal on all ranks. Their gradients are averaged over ranks before they are multiplied.
        activations: tensors with a row an example, such as pooled embeddings. Ranks hold different rows, so nothing is exchanged.
        group: process group of the ranks; None for one process.
    """
    inputs = [*parameters, *activations]
    if not inputs:
        raise ValueError("the scope 'parameters' needs total(losses, parameters=..., activations=...) with at least one tensor")
    # Only inputs are differentiated: neither the accumulation that DDP hooks nor a table's fused backward is part of it.
    found = [torch.autograd.grad(loss, inputs, retain_graph=True, allow_unused=True) for loss in losses]
    dense = [_flat(gradients[: len(parameters)], parameters) for gradients in found]
    pooled = [[widened(part) for part in gradients[len(parameters) :]] for gradients in found]
    gram = gram_matrix(pooled, losses.device)
    if group is None:
        return gram + gram_matrix([[part] for part in dense], losses.device)
    world = dist.get_world_size(group)
    exchanged = torch.stack(dense)
    dist.all_reduce(exchanged, group=group)
    # The all-reduced rows are W times the global gradient, so each rank's 1/W part of W^2 G brings their sum to it.
    return gram + gram_matrix([[part] for part in exchanged.unbind()], losses.device) / world


def _flat(gradients: Iterable[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """One vector of all gradients, in float32 or float64; zeros for a parameter that the loss doesn't reach."""
    pairs = zip(gradients, parameters, strict=True)
    parts = [torch.zeros_like(parameter) if gradient is None else gradient for gradient, parameter in pairs]
    return torch.cat([part.reshape(-1) for part in parts]).to(_wide_dtype(parameters)) if parts else torch.zeros(0)


def _wide_dtype(parameters: Sequence[Tensor]) -> torch.dtype:
    return torch.float64 if any(parameter.dtype == torch.float64 for parameter in parameters) else torch.float32
