"""What the benchmark compares: ways to weigh the tasks of one step."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

import emtl
from recsys.errors import InputError


class Candidate(Protocol):
    """A way to weigh tasks: what stands at the model's fork, and what is done with the (K,) losses instead of `backward()`."""

    def fork(self, *shared: Tensor) -> Sequence[Any]:
        """K views of the shared tensors."""

    def backward(self, model: Any, losses: Tensor) -> None:
        """Gradients for the towers, the shared parameters and (fused: their update) the tables, from (K,) losses."""


class Balanced:
    """A strategy of the registry, the way the trainer runs it."""

    def __init__(self, balancer: emtl.Balancer) -> None:
        self.balancer = balancer
        self.fork = balancer.fork

    def backward(self, model: Any, losses: Tensor) -> None:
        """One backward; in scope `parameters` K partial ones ahead of it."""
        compared = (model.shared_parameters(), model.shared_activations()) if self.balancer.scope == "parameters" else ()
        self.balancer.total(losses, *compared).backward()


class Plain:
    """The sum of the losses, without any fork: what the fork of `equal` costs is seen against it."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.shared: list[Tensor] = []

    def fork(self, *shared: Tensor) -> Sequence[Any]:
        """The same tensors for each task, cut where gradients by task are asked for: above the shared network alone."""
        self.shared = [tensor.view_as(tensor) for tensor in shared]
        return [tuple(self.shared) if len(self.shared) > 1 else self.shared[0]] * self.tasks

    def backward(self, model: Any, losses: Tensor) -> None:
        """One backward."""
        losses.sum().backward()


class Loop(Plain):
    """The usual loop: the gradient of each task at the representation, one after the other, then the weighted losses' backward.

    Weights are those of the default EMTL. Towers get weighted gradients here, unlike at a fork.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__(tasks)
        self.strategy = emtl.create("emtl", tasks)

    def backward(self, model: Any, losses: Tensor) -> None:
        """K partial backwards and a whole one."""
        found = [torch.autograd.grad(loss, self.shared, retain_graph=True) for loss in losses]
        jacobian = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in found])
        weights = self.strategy.weights(losses.detach(), jacobian @ jacobian.T)
        (weights.to(losses.dtype) * losses).sum().backward()


class TorchJD(Plain):
    """`torchjd.autojac.mtl_backward` with UPGrad, on the shared dense parameters and the looked-up embeddings.

    A fused table can't be among its parameters: what it found for the embeddings is sent down in one more backward.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__(tasks)
        self.autojac = importlib.import_module("torchjd.autojac")
        self.aggregator = importlib.import_module("torchjd.aggregation").UPGrad()

    def backward(self, model: Any, losses: Tensor) -> None:
        """The jacobian of the features by task, its aggregation, the tables' update."""
        activations = model.shared_activations()
        for activation in activations:
            activation.retain_grad()
        shared = [*model.shared_parameters(), *activations]
        gates = getattr(model.architecture, "gates", [torch.nn.Module()] * self.tasks)
        own = [[*tower.parameters(), *gate.parameters()] for tower, gate in zip(model.towers, gates, strict=True)]
        self.autojac.mtl_backward(list(losses), features=self.shared, tasks_params=own, shared_params=shared, retain_graph=True)
        for activation in activations:
            activation.grad = None  # what one of the passes by task left
        self.autojac.jac_to_grad(shared, self.aggregator)
        torch.autograd.backward(activations, [activation.grad for activation in activations])


def has_torchjd() -> bool:
    """Whether TorchJD, which this project doesn't install, is there to be compared with."""
    return importlib.util.find_spec("torchjd") is not None


def balanced(name: str, scope: str, tasks: int, group: Any) -> Balanced:
    """Strategy `name` with its defaults; InputError where there is none of this name, or it needs an option."""
    try:
        return Balanced(emtl.Balancer(emtl.create(name, tasks), scope=scope, process_group=group))
    except ValueError as error:
        raise InputError(str(error)) from None
