"""Significance of differences in AUC: DeLong's covariance, also for rows in clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import positives_of
from recsys.evaluation.groups import compact
from recsys.evaluation.intervals import Uncertain, uncertain
from recsys.evaluation.order import order_keys, run_starts, run_sums, sort_rows


@dataclass(frozen=True)
class AucComparison:
    """AUCs of C candidates on the same rows, and what each cluster of rows adds to their deviations.

    aucs: (C,). positive, negative: (u, C) for each of the u clusters, the sum over its positives (negatives) of placement - AUC,
    divided by all positives (negatives). counts: clusters that have positives, that have negatives, and all.
    """

    aucs: NDArray[np.float64]
    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    counts: tuple[int, int, int]

    def estimate(self, candidate: int) -> Uncertain:
        """The AUC of a candidate with its 95 % interval; `p` is that of AUC 1/2."""
        return self._uncertain(float(self.aucs[candidate]), self.positive[:, candidate], self.negative[:, candidate], null=0.5)

    def difference(self, candidate: int, baseline: int) -> Uncertain:
        """AUC of `candidate` - AUC of `baseline`, its 95 % interval and two-sided `p` of no difference."""
        positive = self.positive[:, candidate] - self.positive[:, baseline]
        negative = self.negative[:, candidate] - self.negative[:, baseline]
        return self._uncertain(float(self.aucs[candidate] - self.aucs[baseline]), positive, negative, null=0.0)

    def _uncertain(self, value: float, positive: NDArray[np.float64], negative: NDArray[np.float64], null: float) -> Uncertain:
        if min(self.counts) < 2:
            return uncertain(value, math.nan, math.nan)
        sums = np.square(positive).sum(), np.square(negative).sum(), 2 * (positive * negative).sum()
        of_positives, of_negatives, mixed = (part * count / (count - 1) for part, count in zip(sums, self.counts, strict=True))
        # Welch's degrees of freedom: a few positives make an uncertain deviation, however many negatives there are.
        spread = of_positives**2 / (self.counts[0] - 1) + of_negatives**2 / (self.counts[1] - 1)
        degrees = (of_positives + of_negatives) ** 2 / spread if spread else math.nan
        return uncertain(value, math.sqrt(max(0.0, of_positives + of_negatives + mixed)), degrees, null)


def compare_aucs(scores: Sequence[ArrayLike], labels: ArrayLike, clusters: NDArray[np.integer] | None = None) -> AucComparison:
    """AUCs of candidates with their covariance, in O(C n log n).

    DeLong, DeLong & Clarke-Pearson (Biometrics 1988) by the ranks of Sun & Xu (IEEE Signal Processing Letters 2014). With
    `clusters`, rows of one cluster may depend on each other: Obuchowski (Biometrics 1997), which is DeLong's where each cluster
    is one row.

    Args:
        scores: of each candidate, (n,) numbers of the same rows.
        labels: (n,); above 0 is positive.
        clusters: (n,) codes 0 .. u-1 from `group_codes`, such as users; None where rows are independent.

    Returns:
        NaN throughout where there are only positives or only negatives; NaN deviations with fewer than two clusters of a class.

    Raises:
        ValueError: NaN among the scores, or lengths differ.
    """
    rows = np.asarray(labels).size
    positive = positives_of(labels, rows)
    codes = np.arange(rows) if clusters is None else compact(clusters)[1]
    if codes.size != rows:
        raise ValueError(f"{rows} labels but {codes.size} clusters")
    count = int(codes.max()) + 1 if rows else 0
    positives = int(np.count_nonzero(positive))
    negatives = rows - positives
    members = np.bincount(codes[positive], minlength=count), np.bincount(codes[~positive], minlength=count)
    aucs = np.full(len(scores), math.nan)
    parts = np.full((2, count, len(scores)), math.nan)
    pairs = positives * negatives
    for candidate, numbers in enumerate(scores if pairs else ()):
        twice = _twice_placements(order_keys(numbers), positive)
        ordered = int(twice[positive].sum())
        aucs[candidate] = ordered / (2 * pairs)
        for part, of_class, own, other in ((0, positive, positives, negatives), (1, ~positive, negatives, positives)):
            sums = np.bincount(codes[of_class], weights=twice[of_class], minlength=count)
            parts[part, :, candidate] = (sums / (2 * other) - members[part] * aucs[candidate]) / own
    with_positives, with_negatives = (int(np.count_nonzero(of_class)) for of_class in members)
    return AucComparison(aucs, parts[0], parts[1], (with_positives, with_negatives, count))


def _twice_placements(keys: NDArray[np.uint32], positive: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(n,) twice the number of rows of the other class that a row is on the right side of, ties counting 1/2."""
    if keys.size != positive.size:
        raise ValueError(f"{keys.size} scores but {positive.size} labels")
    ordered, places = sort_rows(keys)
    first = run_starts(ordered)
    sizes = np.diff(first, append=keys.size)
    is_positive = positive[places]
    positives = run_sums(is_positive, first)  # of each distinct score
    negatives = sizes - positives
    negatives_below = np.cumsum(negatives) - negatives
    positives_above = int(positives.sum()) - np.cumsum(positives)
    of_positive = np.repeat(2 * negatives_below + negatives, sizes)
    of_negative = np.repeat(2 * positives_above + positives, sizes)
    placements = np.empty(keys.size, np.int64)
    placements[places] = np.where(is_positive, of_positive, of_negative)
    return placements
