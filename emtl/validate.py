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


def choice(name: str, value: object, known: Iterable[str]) -> str:
    """`value` if it is one of `known`; ValueError that names the nearest one otherwise."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, but got {value!r}; the nearest is {nearest(value, known)!r}")
    return value


def nearest(value: object, known: Iterable[str]) -> str:
    """The entry of `known` that looks most like `value`."""
    return difflib.get_close_matches(str(value), list(known), n=1, cutoff=0.0)[0]
