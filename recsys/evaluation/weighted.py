"""Metrics of yes/no tasks and of groups under weights of clusters: sorted once, then a pass of sums for every replicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import CLIP, positives_of
from recsys.evaluation.bootstrap import Statistic
from recsys.evaluation.groups import GroupValues, compact
from recsys.evaluation.order import order_keys, run_starts, sort_rows
from recsys.evaluation.tally import BINS, entropy

BLOCK = 1 << 17  # rows whose sums stay in the processor's cache
Weights = NDArray[np.uint8]


@dataclass(frozen=True)
class Together:
    """Several statistics as one."""

    parts: Sequence[Statistic]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for part in self.parts for name in part.names)

    def __call__(self, weights: Weights) -> tuple[float, ...]:
        return tuple(value for part in self.parts for value in part(weights))


class Totals:
    """Metrics that are functions of sums over rows: a cluster's rows are summed once, a replicate weighs the clusters' sums."""

    def __init__(
        self,
        names: tuple[str, ...],
        clusters: NDArray[np.integer],
        columns: Sequence[ArrayLike],
        of_totals: Callable[..., tuple[float, ...]],
    ) -> None:
        """`columns`, (n,) each, are summed; `of_totals` takes their totals, one argument each, and returns the metrics."""
        self.names = names
        self._of_totals = of_totals
        self._present, place = compact(clusters)
        sums = [np.bincount(place, weights=np.asarray(column, np.float64), minlength=self._present.size) for column in columns]
        self._sums = np.stack(sums, axis=1)

    def __call__(self, weights: Weights) -> tuple[float, ...]:
        return self._of_totals(*(weights.take(self._present).astype(np.float64) @ self._sums).tolist())


def ratio(numerator: float, denominator: float) -> float:
    """The quotient; NaN where the denominator is 0."""
    return numerator / denominator if denominator else math.nan


def binary_statistic(probabilities: ArrayLike, labels: ArrayLike, clusters: NDArray[np.integer], bins: int = BINS) -> Statistic:
    """`auc`, `auprc`, `log_loss`, `calibration`, `normalized_entropy` and `ece` of (n,) probabilities and labels, (n,) cluster codes.

    Bins of the calibration error are those of all rows. Raises ValueError as `auc` and where a length differs.
    """
    probability = np.asarray(probabilities).ravel()
    positive = positives_of(labels, probability.size)
    if clusters.size != positive.size:
        raise ValueError(f"{positive.size} labels but {clusters.size} clusters")
    keys = order_keys(probability)
    wide = probability.astype(np.float64)
    loss = -np.log(np.clip(np.where(positive, wide, 1 - wide), CLIP, 1 - CLIP))
    sums = Totals(
        ("log_loss", "calibration", "normalized_entropy"), clusters, (np.ones(wide.size), loss, wide, positive), _probability_metrics
    )
    return Together([Ranking(keys, positive, clusters), sums, CalibrationError(keys, wide - positive, clusters, bins)])


def _probability_metrics(rows: float, loss: float, predicted: float, positives: float) -> tuple[float, float, float]:
    return ratio(loss, rows), ratio(predicted, positives), ratio(ratio(loss, rows), entropy(ratio(positives, rows)))


def group_statistic(name: str, groups: GroupValues, clusters: NDArray[np.integer]) -> Statistic:
    """Mean over groups that lie within clusters, such as the requests of a user. clusters: (g,) of each group of `groups`."""
    has = ~np.isnan(groups.values)
    columns = (groups.weights[has] * groups.values[has], groups.weights[has])
    return Totals((name,), clusters[has], columns, lambda total, weight: (ratio(total, weight),))


class Ranking:
    """`auc` and `auprc`, exact under any weights."""

    names = ("auc", "auprc")

    def __init__(self, keys: NDArray[np.uint32], positive: NDArray[np.bool_], clusters: NDArray[np.integer]) -> None:
        """keys: (n,) in the order of the scores. positive: (n,). clusters: (n,) codes."""
        found, self._positive = _sorted_class(keys, clusters, positive)
        others, self._negative = _sorted_class(keys, clusters, ~positive)
        # Of each positive: negatives below it, negatives below or beside it, positives below it.
        self._below, self._upto = np.searchsorted(others, found, "left"), np.searchsorted(others, found, "right")
        self._positives_below = np.searchsorted(found, found, "left")
        # Blocks end between scores, so that no tie is in two of them.
        ends = np.unique(np.concatenate([others[BLOCK::BLOCK], found[BLOCK::BLOCK]]))
        cuts = zip(np.searchsorted(found, ends).tolist(), np.searchsorted(others, ends).tolist(), strict=True)
        self._cuts = [(0, 0), *cuts, (found.size, others.size)]

    def __call__(self, weights: Weights) -> tuple[float, float]:
        positives, negatives = (_total(weights, of_class) for of_class in (self._positive, self._negative))
        before, before_positives = 0, 0
        ordered, precision = 0.0, 0.0
        for (first, first_other), (end, end_other) in pairwise(self._cuts):
            # Sums over a block of the negatives' weights, and the same from the start, at each of the block's positives.
            running = running_sums(weights.take(self._negative[first_other:end_other]))
            if end > first:
                own = weights.take(self._positive[first:end])
                running_own = running_sums(own)
                below = running.take(self._below[first:end] - first_other) + float(before)
                upto = running.take(self._upto[first:end] - first_other) + float(before)
                found = float(positives - before_positives) - running_own.take(self._positives_below[first:end] - first)
                ordered += float(own @ (below + upto))
                precision += float(own @ (found / np.maximum(found + negatives - below, 1)))
                before_positives += int(running_own[-1])
            before += int(running[-1])
        return ratio(ordered, 2.0 * positives * negatives), ratio(precision, positives)


class CalibrationError:
    """`ece` in bins of equal mass, which stay those of all rows."""

    names = ("ece",)

    def __init__(self, keys: NDArray[np.uint32], gaps: NDArray[np.float64], clusters: NDArray[np.integer], bins: int) -> None:
        """keys: (n,) in the order of the scores. gaps: (n,) prediction - label."""
        ordered, places = sort_rows(keys)
        starts = run_starts(ordered)
        sizes = np.diff(starts, append=keys.size)
        of_rows = np.repeat((2 * starts + sizes) * bins // max(1, 2 * keys.size), sizes)
        self._clusters = clusters[places].astype(np.intp)
        self._gaps = gaps[places]
        self._ends = np.searchsorted(of_rows, np.arange(1, bins + 1)).tolist()

    def __call__(self, weights: Weights) -> tuple[float]:
        error, start, rows = 0.0, 0, 0
        for end in self._ends:
            gap = 0.0
            for first in range(start, end, BLOCK):
                block = slice(first, min(end, first + BLOCK))
                own = weights.take(self._clusters[block])
                gap += float(own @ self._gaps[block])
                rows += int(own.sum())
            error, start = error + abs(gap), end
        return (ratio(error, rows),)


def _sorted_class(
    keys: NDArray[np.uint32], clusters: NDArray[np.integer], of_class: NDArray[np.bool_]
) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    ordered, places = sort_rows(keys[of_class])
    return ordered, clusters[of_class][places].astype(np.intp)


def running_sums(weights: Weights) -> NDArray[np.uint32]:
    """(n + 1,) sums of the first 0, 1, ... n."""
    sums = np.zeros(weights.size + 1, np.uint32)
    np.cumsum(weights, dtype=np.uint32, out=sums[1:])
    return sums


def _total(weights: Weights, clusters: NDArray[np.intp]) -> int:
    return sum(int(weights.take(clusters[start : start + BLOCK]).sum()) for start in range(0, clusters.size, BLOCK))
