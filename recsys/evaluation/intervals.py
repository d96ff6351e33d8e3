"""From a value and its standard error to an interval, a p-value, and how much more data a question needs."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import special

CONFIDENCE = 0.95
POWER = 0.8


class Uncertain(NamedTuple):
    """A value, its standard error, its 95 % interval, and the two-sided p-value of the null hypothesis (that it is 0)."""

    value: float
    deviation: float
    low: float
    high: float
    p: float


def uncertain(value: float, deviation: float, degrees: float, null: float = 0.0) -> Uncertain:
    """Interval and p-value by Student's t with `degrees` of freedom.

    Two equal candidates differ by 0 with deviation 0: p is 1. A deviation of 0 around any other value says that the rows are too few
    to tell one: the interval and p are NaN, as where a number is NaN or `degrees` is not above 0.
    """
    if deviation == 0 and value == null:
        return Uncertain(value, 0.0, value, value, 1.0)
    if math.isnan(value) or not deviation > 0 or not degrees > 0:
        return Uncertain(value, math.nan, math.nan, math.nan, math.nan)
    half = float(special.stdtrit(degrees, (1 + CONFIDENCE) / 2)) * deviation
    return Uncertain(value, deviation, value - half, value + half, float(2 * special.stdtr(degrees, -abs(value - null) / deviation)))


def minimum_detectable(deviation: float) -> float:
    """The true difference that a two-sided 5 % test with this standard error finds with 80 % power: (1.960 + 0.842) deviations."""
    return _detectable_deviations() * deviation


def rows_needed(rows: int, difference: float, deviation: float) -> float:
    """Rows (with `rows` / clusters unchanged) with which a true `difference` would be found with 80 % power.

    A standard error falls with the root of the rows. Infinite for a difference of 0, NaN where either is NaN.
    """
    if math.isnan(difference) or math.isnan(deviation):
        return math.nan
    if difference == 0:
        return math.inf
    return math.ceil(rows * (minimum_detectable(deviation) / difference) ** 2)


def _detectable_deviations() -> float:
    return float(special.ndtri((1 + CONFIDENCE) / 2) + special.ndtri(POWER))
