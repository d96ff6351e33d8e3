"""How much better than the single-task models, over all tasks at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def delta_m(values: ArrayLike, reference: ArrayLike, higher_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """Mean over tasks of the relative gain over a reference, in per cent; above 0 is better.

    Maninis, Radosavovic & Kokkinos, "Attentive Single-Tasking of Multiple Tasks" (CVPR 2019, arXiv:1904.08918), equation 4:
    100 / K * sum_k (-1)^l_k (M_k - B_k) / B_k with l_k = 1 where lower is better.

    Args:
        values: (..., K) a metric of each task.
        reference: the same of the single-task models, broadcast against `values`.
        higher_is_better: (K,) of each metric.

    Returns:
        (...); NaN where a task has no value or a reference is 0.
    """
    base = np.asarray(reference, np.float64)
    signs = np.where(higher_is_better, 1.0, -1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        gains = signs * (np.asarray(values, np.float64) - base) / np.where(base == 0, np.nan, np.abs(base))
    return 100 * gains.mean(-1)


def log_gain(values: ArrayLike, higher_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """100 times the mean over tasks of ± log of the metric: to first order two values differ by their delta-m, whatever the reference.

    Args:
        values: (..., K) a metric of each task.
        higher_is_better: (K,) of each metric.

    Returns:
        (...); NaN where a task has no value above 0.
    """
    metrics = np.asarray(values, np.float64)
    logs = np.log(np.where(metrics > 0, metrics, np.nan))
    return 100 * (np.where(higher_is_better, 1.0, -1.0) * logs).mean(-1)
