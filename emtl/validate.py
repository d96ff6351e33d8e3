"""Checks of constructor arguments: each refuses with one line that names the argument and its value."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from math import inf, isfinite


def number(name: str, value: object, low: float = -inf, high: float = inf, *, open_high: bool = False) -> float:
    """`value` as a float within [low, high], or [low, high) if `open_high`; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} must be a finite number, but got {value!r}")
    if value < low or value > high or (open_high and value == high):
        raise ValueError(f"{name} must be {_interval(low, high, open_high)}, but got {value}")
    return float(value)


def _interval(low: float, high: float, open_high: bool) -> str:
    if high == inf:
        return "non-negative" if low == 0 else f"at least {low:g}"
    return f"in [{low:g}, {high:g}{')' if open_high else ']'}"


def positive(name: str, value: object) -> float:
    """`value` as a float above 0; ValueError otherwise."""
    checked = number(name, value)
    if checked <= 0:
        raise ValueError(f"{name} must be positive, but got {value}")
    return checked


def integer(name: str, value: object, low: int, high: float = inf) -> int:
    """`value` if it is an integer within [low, high]; ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be an integer, but got {value!r}")
    if value < low or value > high:
        raise ValueError(f"{name} must be {_interval(low, high, False)}, but got {value}")
    return value


def shares(name: str, value: object, num_tasks: int) -> list[float]:
    """`value`, a positive number a task, as floats; ValueError otherwise. None stands for ones."""
    if value is None:
        return [1.0] * num_tasks
    if not isinstance(value, list | tuple) or len(value) != num_tasks:
        raise ValueError(f"{name} must be a list of {num_tasks} numbers, one a task, but got {value!r}")
    return [positive(f"{name}[{task}]", entry) for task, entry in enumerate(value)]


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """`value` if it is one of `known`; ValueError that names the nearest one otherwise."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, but got {value!r}; the nearest is {nearest(value, known)!r}")
    return value


def nearest(value: object, known: Iterable[str]) -> str:
    """The entry of `known` that looks most like `value`."""
    return difflib.get_close_matches(str(value), list(known), n=1, cutoff=0.0)[0]
