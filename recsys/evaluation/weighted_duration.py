"""Metrics of durations under weights of clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.bootstrap import Statistic
from recsys.evaluation.concordance import row_pairs
from recsys.evaluation.names import BY_DURATION
from recsys.evaluation.order import order_keys, run_starts, sort_rows
from recsys.evaluation.weighted import BLOCK, Ranking, Together, Totals, Weights, ratio, running_sums


def duration_statistic(
    predicted: ArrayLike, observed: ArrayLike, threshold: float, clusters: NDArray[np.integer], buckets: NDArray[np.integer] | None = None
) -> Statistic:
    """`mae`, `rmse`, `rmse_log1p`, `spearman`, `xauc` and the `auc` and `auprc` of "longer than `threshold`" of (n,) seconds.

    With (n,) `buckets` from `duration_buckets` also those of `bucketed_metrics`. All are exact under any weights but XAUC, which is
    linear in them (see `xauc_statistic`).
    """
    seconds, truth = np.asarray(predicted).ravel(), np.asarray(observed).ravel()
    longer = Ranking(order_keys(seconds), truth > threshold, clusters)
    columns = seconds, truth, clusters
    parts: list[Statistic] = [_absolute_error(*columns), squared_errors(*columns), RankCorrelation(*columns), xauc_statistic(*columns)]
    if buckets is not None:
        parts.append(_bucketed(seconds, truth, clusters, buckets))
    return Together([*parts, longer])


def xauc_statistic(predicted: ArrayLike, observed: ArrayLike, clusters: NDArray[np.integer]) -> Statistic:
    """`xauc`, to the first order in the weights.

    Its numerator and denominator are sums over pairs of rows, of weight w_i w_j, and don't change with the weights' scale. They are
    expanded at weights of 1, to which the mean weight is scaled: each becomes sum_i w_i h_i - its value at 1, where h_i is the
    row's own sum over pairs (Hoeffding's projection of a U-statistic). What is left out is smaller than the deviation by the root of
    the clusters. Exact sums over pairs would cost a sort for every replicate.
    """
    twice_concordant, pairs = row_pairs(predicted, observed)
    numerator, denominator = int(twice_concordant.sum()) / 4, int(pairs.sum()) / 2

    def of_totals(rows: float, concordant: float, paired: float) -> tuple[float]:
        scale = ratio(pairs.size, rows)
        return (ratio(scale * concordant - numerator, scale * paired - denominator),)

    return Totals(("xauc",), clusters, (np.ones(pairs.size), twice_concordant / 2, pairs), of_totals)


class RankCorrelation:
    """`spearman`, exact under any weights: ranks are sums of weights."""

    names = ("spearman",)

    def __init__(self, left: ArrayLike, right: ArrayLike, clusters: NDArray[np.integer]) -> None:
        """left, right: (n,) numbers. clusters: (n,) codes."""
        self._left, places = _Ranks.of(order_keys(left), clusters)
        self._right, places_right = _Ranks.of(order_keys(right), clusters)
        at_right = np.empty(places.size, np.intp)
        at_right[places_right] = np.arange(places.size)
        self._right_of_left = at_right[places]

    def __call__(self, weights: Weights) -> tuple[float]:
        own, left, mean = self._left.ranked(weights)
        right = self._right.ranked(weights)[1]
        covariance = variance_left = variance_right = 0.0
        for start in range(0, own.size, BLOCK):
            block = slice(start, start + BLOCK)
            x, y = left[block] - mean, right.take(self._right_of_left[block]) - mean
            weighted = own[block] * x
            covariance += float((weighted * y).sum())
            variance_left += float((weighted * x).sum())
            variance_right += float((own[block] * np.square(y)).sum())
        return (ratio(covariance, math.sqrt(variance_left) * math.sqrt(variance_right)),)


@dataclass(frozen=True)
class _Ranks:
    """Rows in the order of a number: their clusters, and the first and the last + 1 of those equal to each one."""

    clusters: NDArray[np.intp]
    first: NDArray[np.intp]
    end: NDArray[np.intp]

    @classmethod
    def of(cls, keys: NDArray[np.uint32], clusters: NDArray[np.integer]) -> tuple[_Ranks, NDArray[np.int64]]:
        ordered, places = sort_rows(keys)
        starts = run_starts(ordered)
        sizes = np.diff(starts, append=keys.size)
        return cls(clusters[places].astype(np.intp), np.repeat(starts, sizes), np.repeat(starts + sizes, sizes)), places

    def ranked(self, weights: Weights) -> tuple[Weights, NDArray[np.uint32], float]:
        """The rows' weights and twice their average ranks, both in the order of the number, and the mean of these."""
        own = weights.take(self.clusters)
        sums = running_sums(own)
        ranks = np.empty(own.size, np.uint32)
        for start in range(0, own.size, BLOCK):
            block = slice(start, start + BLOCK)
            np.add(sums.take(self.first[block]), sums.take(self.end[block]), out=ranks[block])
        return own, ranks, float(sums[-1])


@dataclass(frozen=True)
class BucketMean:
    """Mean over buckets of each one's metrics, weighted by its rows; buckets without a metric are left out."""

    names: tuple[str, ...]
    buckets: Sequence[Statistic]
    rows: Statistic

    def __call__(self, weights: Weights) -> tuple[float, ...]:
        values = np.array([bucket(weights) for bucket in self.buckets])
        counts = np.where(np.isnan(values), 0, np.array(self.rows(weights))[:, None])
        totals, means = counts.sum(0), (counts * np.nan_to_num(values)).sum(0)
        return tuple(ratio(mean, total) for mean, total in zip(means.tolist(), totals.tolist(), strict=True))


def _bucketed(seconds: NDArray, truth: NDArray, clusters: NDArray[np.integer], buckets: NDArray[np.integer]) -> BucketMean:
    members = [buckets == bucket for bucket in np.unique(buckets)]
    parts = [_of_bucket(seconds[rows], truth[rows], clusters[rows]) for rows in members]
    counts = Totals(tuple(f"bucket {place}" for place in range(len(members))), clusters, members, lambda *totals: totals)
    return BucketMean(BY_DURATION, parts, counts)


def _of_bucket(seconds: NDArray, truth: NDArray, clusters: NDArray[np.integer]) -> Statistic:
    columns = seconds, truth, clusters
    return Together([squared_errors(*columns), RankCorrelation(*columns), xauc_statistic(*columns)])


def _absolute_error(seconds: NDArray, truth: NDArray, clusters: NDArray[np.integer]) -> Totals:
    errors = np.abs(seconds.astype(np.float64) - truth)
    return Totals(("mae",), clusters, (np.ones(errors.size), errors), lambda rows, total: (ratio(total, rows),))


def squared_errors(seconds: NDArray, truth: NDArray, clusters: NDArray[np.integer]) -> Totals:
    """`rmse` and `rmse_log1p` alone, which cost a sum over clusters a replicate."""
    wide, observed = seconds.astype(np.float64), truth.astype(np.float64)
    squares = np.square(wide - observed), np.square(np.log1p(wide) - np.log1p(observed))

    def of_totals(rows: float, square: float, square_in_log: float) -> tuple[float, float]:
        return math.sqrt(ratio(square, rows)), math.sqrt(ratio(square_in_log, rows))

    return Totals(("rmse", "rmse_log1p"), clusters, (np.ones(wide.size), *squares), of_totals)
