"""What a strategy is, and the registry of strategies by name."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from emtl import validate


class Needs(enum.Enum):
    """What a strategy looks at, which decides what is measured for it."""

    LOSSES = "losses"
    GRAM = "gram"


@dataclass(frozen=True)
class Tasks:
    """What a strategy sees of a step, on one device, in float64.

    Attributes:
        losses: (K,) values of the losses.
        gram: (K, K) scalar products of the tasks' gradients; None for a strategy that needs only the losses.
        present: (K,) mask of the tasks that have a valid label in the batch. Reduce over tasks with `emtl.masked`.
    """

    losses: Tensor
    gram: Tensor | None
    present: Tensor

    @property
    def norms(self) -> Tensor:
        """(K,) norms of the tasks' gradients."""
        if self.gram is None:
            raise RuntimeError("a strategy that uses gradients must declare `needs = Needs.GRAM`")
        return self.gram.diagonal().sqrt()


class Strategy(torch.nn.Module):
    """Turns the losses and the Gram matrix of the tasks' gradients into one weight a task.

    A subclass implements `solve`, and calls itself by name with `@register`. What all strategies share is done here, once:
    float64, tasks that are absent, the refusal of negative losses and the scale of the weights. State goes into buffers.

    Args:
        num_tasks: K, at least 1.
    """

    needs: Needs = Needs.GRAM
    takes_negative_losses: bool = True

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        if not isinstance(num_tasks, int) or isinstance(num_tasks, bool) or num_tasks < 1:
            raise ValueError(f"num_tasks must be an integer of at least 1, but got {num_tasks!r}")
        self.num_tasks = num_tasks

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) weights up to a common factor; what stands at absent tasks is not read."""
        raise NotImplementedError

    @torch.no_grad()
    def weights(self, losses: Tensor, gram: Tensor | None = None) -> Tensor:
        """The (K,) weights of a step, in float64, with sum_k w_k = number of tasks present.

        A task is absent if its Gram diagonal is 0 (without a Gram matrix: if its loss is exactly 0), as it is without a valid
        label. It gets weight 0 and neither the other weights nor the state of the strategy depend on it. No host synchronisation.

        Args:
            losses: (K,) losses of the global batch.
            gram: (K, K) Gram matrix of the tasks' gradients of the global batch.

        Raises:
            ValueError: shapes are wrong, or a loss is negative and the strategy can't take that (on CUDA the latter is a
                device-side assertion, so that the host doesn't wait).
        """
        self._check_shapes(losses, gram)
        if not self.takes_negative_losses:
            self._refuse_negative(losses)
        self.to(losses.device)
        tasks = self._tasks(losses.double(), None if gram is None else gram.double())
        weights = torch.where(tasks.present, self.solve(tasks), 0.0)
        return weights * (tasks.present.sum() / torch.where(tasks.present.any(), weights.sum(), 1.0))

    def _check_shapes(self, losses: Tensor, gram: Tensor | None) -> None:
        if losses.shape != (self.num_tasks,):
            raise ValueError(f"losses must have shape ({self.num_tasks},), but got {tuple(losses.shape)}")
        if gram is None and self.needs is Needs.GRAM:
            raise ValueError(f"{type(self).__name__} needs the Gram matrix")
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
    def _tasks(losses: Tensor, gram: Tensor | None) -> Tasks:
        present = (losses if gram is None else gram.diagonal()) != 0
        return Tasks(losses, gram, present)


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
    if name not in _registry:
        raise ValueError(f"unknown strategy {name!r}; the nearest is {validate.nearest(name, _registry)!r}")
    parameters = inspect.signature(_registry[name]).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.name != "num_tasks"}


def create(name: str, num_tasks: int, **given: Any) -> Strategy:
    """The strategy `name` for `num_tasks` tasks.

    Raises:
        ValueError: the name or an option is unknown (the nearest known one is named), missing, or has a value out of its range.
    """
    known = options(name)
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
