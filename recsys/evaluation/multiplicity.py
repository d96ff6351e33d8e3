"""p-values of many questions at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """(m,) p-values that keep the chance of any false finding at their level, however the questions depend on each other.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure" (Scandinavian Journal of Statistics 1979). A NaN (a question
    without an answer, such as an empty slice) stays NaN and doesn't count.
    """
    p, asked = _asked(p_values)
    order = np.argsort(p[asked], kind="stable")
    factors = np.arange(order.size, 0, -1)
    adjusted = np.empty(order.size)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[asked][order]), 1)
    return _put_back(adjusted, asked)


def benjamini_hochberg(p_values: Sequence[float]) -> NDArray[np.float64]:
    """(m,) p-values that keep the share of false ones among the findings at their level, for independent or positively dependent ones.

    Benjamini & Hochberg, "Controlling the False Discovery Rate" (JRSS B 1995). NaN stays NaN and doesn't count.
    """
    p, asked = _asked(p_values)
    return _put_back(stats.false_discovery_control(p[asked], method="bh") if asked.any() else p[asked], asked)


def _asked(p_values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    p = np.asarray(p_values, np.float64)
    return p, ~np.isnan(p)


def _put_back(adjusted: NDArray[np.float64], asked: NDArray[np.bool_]) -> NDArray[np.float64]:
    result = np.full(asked.size, np.nan)
    result[asked] = adjusted
    return result
