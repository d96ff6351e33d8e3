"""What a strategy is, and the registry of strategies by name."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from emtl import validate


class Needs(enum.Enum):
    """What a strategy looks at, which decides what is measured for it."""

    LOSSES = "losses"
    GRAM = "gram"
    TENSORS = "tensors"


@dataclass(frozen=True)
class Tasks:
    """What a strategy sees of a step, on one device, in float64.

    Attributes:
        losses: (K,) values of the losses.
        gram: (K, K) scalar products of the tasks' gradients; None for a strategy that needs only the losses.
        features: (K, F) gradients at the fork, summed over the rows of the batch; None for a strategy without `Needs.TENSORS`.
        present: (K,) mask of the tasks that have a valid label in the batch. Reduce over tasks with `emtl.masked`.
    """

    losses: Tensor
    gram: Tensor | None
    present: Tensor
    features: Tensor | None = None

    @property
    def norms(self) -> Tensor:
        """(K,) norms of the tasks' gradients."""
        if self.gram is None:
            raise RuntimeError("a strategy that uses gradients must declare `needs = Needs.GRAM`")
        return self.gram.diagonal().sqrt()


LEAST_SUM = 0.1
"""Part of sum_k |w_k| that the sum of weights counts at least as, when they are scaled."""


def scaled(weights: Tensor, present: Tensor) -> Tensor:
    """The (K,) weights times the positive factor that puts their sum to the number of tasks present; zeros stay zeros.

    Weights of some methods (`may_be_negative`) can cancel. Their sum counts as at least `LEAST_SUM` of sum |w|, so that no update is
    turned round or blown up: then they sum to less than the number of tasks, and the sum of |w| is ten times that number.
    """
    total = torch.maximum(weights.sum(), LEAST_SUM * weights.abs().sum())
    return weights * (present.sum() / torch.where(total == 0, 1.0, total))


class Strategy(torch.nn.Module):
    """Turns the losses and the Gram matrix of the tasks' gradients into one weight a task.

    A subclass implements `solve`, and calls itself by name with `@register`. What all strategies share is done here, once:
    float64, tasks that are absent, the refusal of negative losses and the scale of the weights. State goes into buffers.

    Args:
        num_tasks: K, at least 1.
    """

    needs: Needs = Needs.GRAM
    takes_negative_losses: bool = True
    may_be_negative: bool = False
    """Whether a weight may be below 0; see `scaled`."""
    coordinatewise: bool = False
    """Whether `solve` gives (K, F) factors, one a task and feature at the fork, in place of (K,) weights."""
    signed: bool = False
    """Whether the sums over rows are of the gradients times the sign of the shared value (`Needs.TENSORS` only)."""

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
            raise ValueError(f"num_tasks must be an integer of at least 1, but got {num_tasks!r}")
        self.num_tasks = num_tasks

    @classmethod
    def accepted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options with their defaults: the constructor's named arguments. A wrapper adds those of the strategy that `given` names."""
        parameters = inspect.signature(cls).parameters.values()
        named = [parameter for parameter in parameters if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
        return {parameter.name: parameter.default for parameter in named if parameter.name != "num_tasks"}

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) weights up to a common factor; what stands at absent tasks is not read."""
        raise NotImplementedError

    @torch.no_grad()
    def weights(self, losses: Tensor, gram: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """The (K,) weights of a step, in float64, with sum_k w_k = number of tasks present; see `scaled` for weights below 0.

        A task is absent if its Gram diagonal is 0 (without a Gram matrix: if its loss is exactly 0), as it is without a valid
        label. It gets weight 0 and neither the other weights nor the state of the strategy depend on it. No host synchronisation.

        Args:
            losses: (K,) losses of the global batch.
            gram: (K, K) Gram matrix of the tasks' gradients of the global batch.
            features: (K, F) gradients at the fork, summed over the rows of the global batch, for a strategy with `Needs.TENSORS`.
                One of coordinates returns (K, F) factors; their means over F have the sum above.

        Raises:
            ValueError: shapes are wrong, or a loss is negative and the strategy can't take that (on CUDA the latter is a
                device-side assertion, so that the host doesn't wait).
        """
        self._check_shapes(losses, gram, features)
        if not self.takes_negative_losses:
            self._refuse_negative(losses)
        self.to(losses.device)
        wide = (None if part is None else part.double() for part in (gram, features))
        tasks = self._tasks(losses.double(), *wide)
        if self.coordinatewise:
            factors = torch.where(tasks.present[:, None], self.solve(tasks), 0.0)
            kept = factors.mean(1).sum()
            return factors * (tasks.present.sum() / torch.where(kept == 0, 1.0, kept))
        return scaled(torch.where(tasks.present, self.solve(tasks), 0.0), tasks.present)

    def _check_shapes(self, losses: Tensor, gram: Tensor | None, features: Tensor | None = None) -> None:
        if losses.shape != (self.num_tasks,):
            raise ValueError(f"losses must have shape ({self.num_tasks},), but got {tuple(losses.shape)}")
        if gram is None and self.needs is not Needs.LOSSES:
            raise ValueError(f"{type(self).__name__} needs the Gram matrix")
        if features is None and self.needs is Needs.TENSORS:
            raise ValueError(f"{type(self).__name__} needs the tasks' gradients at the fork: use it through emtl.Balancer")
        if gram is not None and gram.shape != (self.num_tasks, self.num_tasks):
            raise ValueError(f"gram must have shape ({self.num_tasks}, {self.num_tasks}), but got {tuple(gram.shape)}")

    def _refuse_negative(self, losses: Tensor) -> None:
        name = type(self).__name__
        negative = losses < 0
        if losses.device.type == "cpu":
            if negative.any():
                task = int(negative.nonzero()[0])
                raise ValueError(f"{name} needs losses of at least 0, but the loss of task {task} is {losses[task].item():.6g}")
        else:
            torch._assert_async(~negative.any(), f"{name} needs losses of at least 0, but a task's is negative")

    @staticmethod
    def _tasks(losses: Tensor, gram: Tensor | None, features: Tensor | None = None) -> Tasks:
        return Tasks(losses, gram, present_tasks(losses, gram), features)


def present_tasks(losses: Tensor, gram: Tensor | None) -> Tensor:
    """(K,) mask of the tasks that have a gradient; without a Gram matrix, a loss."""
    return (losses if gram is None else gram.diagonal()) != 0


_registry: dict[str, type[Strategy]] = {}
S = TypeVar("S", bound=type[Strategy])


def register(name: str) -> Callable[[S], S]:
    """Class decorator that makes a strategy known by `name`."""

    def add(strategy: S) -> S:
        if name in _registry:
            raise ValueError(f"two strategies are called {name!r}: {_registry[name].__qualname__} and {strategy.__qualname__}")
        _registry[name] = strategy
        return strategy

    return add


def names() -> list[str]:
    """The names of all strategies, sorted."""
    return sorted(_registry)


def options(name: str) -> dict[str, Any]:
    """The options of strategy `name` with their defaults (`inspect.Parameter.empty` for one that must be given)."""
    return _found(name).accepted({})


def _found(name: str) -> type[Strategy]:
    if name not in _registry:
        raise ValueError(f"unknown strategy {name!r}; the nearest is {validate.nearest(name, _registry)!r}")
    return _registry[name]


def create(name: str, num_tasks: int, **given: Any) -> Strategy:
    """The strategy `name` for `num_tasks` tasks.

    Raises:
        ValueError: the name or an option is unknown (the nearest known one is named), missing, or has a value out of its range.
    """
    known = _found(name).accepted(given)
    for option in given:
        if option not in known:
            hint = f"the nearest is {validate.nearest(option, known)!r}" if known else "it has none"
            raise ValueError(f"unknown option {option!r} of strategy {name!r}; {hint}")
    for option, default in known.items():
        if default is inspect.Parameter.empty and option not in given:
            raise ValueError(f"strategy {name!r} needs the option {option!r}")
    return _registry[name](num_tasks, **given)


def check_options(name: str, num_tasks: int, given: dict[str, Any]) -> None:
    """Raises the ValueError that `create` would, for a configuration that is checked before anything starts."""
    create(name, num_tasks, **given)
