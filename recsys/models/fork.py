"""The place where the shared network ends and the tasks' own parts begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

# fork(*tensors) is called once a step; entry k of what it returns is task k's view: a Tensor when one is given, else a tuple of Tensors.
Fork = Callable[..., Sequence[Any]]


def plain_fork(tasks: int) -> Fork:
    """The fork of equal weights: every task sees the tensors themselves."""

    def fork(*shared: Tensor) -> Sequence[Any]:
        return [shared if len(shared) > 1 else shared[0]] * tasks

    return fork
