"""The bootstrap over clusters of rows, such as users: metrics under random weights, the same ones for every candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.intervals import Uncertain, uncertain

# Of 65536 equally likely numbers, how many stand for the weight 0, 1, 2, ...: Poisson(1) within 3e-5, mean and variance exactly 1.
_POISSON = (24109, 24109, 12057, 4016, 1005, 202, 32, 5, 1)
_WEIGHT_OF = np.repeat(np.arange(len(_POISSON), dtype=np.uint8), _POISSON)
Key = TypeVar("Key")
_FEWEST_DEFINED = 0.9  # share of the replicates that must have the metric


class Statistic(Protocol):
    """Metrics of some rows, ready for any weights of their clusters.

    A row of a cluster with weight 3 counts as three equal rows, one with weight 0 not at all. Thread-safe.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics."""

    def __call__(self, weights: NDArray[np.uint8]) -> tuple[float, ...]:
        """The metrics under the (u,) weights; NaN where they are not defined."""


def bootstrap(
    statistics: Mapping[Key, Statistic],
    clusters: int,
    replicates: int = 1000,
    seed: int = 0,
    threads: int = 2,
    advance: Callable[[], object] = lambda: None,
) -> dict[tuple[Key, str], NDArray[np.float64]]:
    """Every metric of `statistics` in every replicate, by (key, metric): (replicates,) each.

    A replicate's weights are Poisson(1) for each cluster, after Chamandy et al., "Estimating Uncertainty for Massive Data Streams"
    (Google 2012). They depend on `seed` and the replicate's number alone, so statistics on the same clusters are paired, in one
    call or in several: replicates of a difference are the differences of the replicates. `advance` is called after each replicate.
    """

    def replicate(number: int) -> list[float]:
        weights = poisson_weights(clusters, seed, number)
        values = [value for statistic in statistics.values() for value in statistic(weights)]
        advance()
        return values

    with ThreadPoolExecutor(threads) as pool:
        table = np.array(list(pool.map(replicate, range(replicates))))
    names = [(key, name) for key, statistic in statistics.items() for name in statistic.names]
    return dict(zip(names, table.T, strict=True))


def poisson_weights(clusters: int, seed: int, replicate: int) -> NDArray[np.uint8]:
    """(clusters,) the weights of a replicate."""
    random = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed, spawn_key=(replicate,))))
    return _WEIGHT_OF[random.integers(0, _WEIGHT_OF.size, clusters, dtype=np.uint16)]


def resampled(value: float, replicates: NDArray[np.float64], clusters: int, null: float = 0.0) -> Uncertain:
    """Interval and p-value of a metric, or of a difference, from its replicates: value -+ t * their deviation.

    In simulations (docs/evaluation.md) it covers about as often as it says from 60 users on, the percentiles' interval less often.

    Args:
        value: on all rows, each with weight 1.
        replicates: (r,) of the same. Those that are NaN (a resample without a positive, say) are left out.
        clusters: how many were resampled; the interval is Student's t with one degree of freedom less.

    Returns:
        NaN where more than a tenth of the replicates are NaN: the rows are too few.
    """
    defined = replicates[~np.isnan(replicates)]
    if defined.size < max(2, _FEWEST_DEFINED * replicates.size):
        return uncertain(value, math.nan, math.nan)
    return uncertain(value, float(defined.std(ddof=1)), clusters - 1, null)
