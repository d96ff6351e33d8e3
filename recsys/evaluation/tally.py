"""Rows counted by distinct score: all that a binary metric needs to know of them, in memory or in parts of a sorted whole."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import CLIP, positives_of
from recsys.evaluation.order import from_ordered_bits, order_keys, run_starts, run_sums

BINS = 15  # of the expected calibration error, as many as its authors took
_ONE = np.uint64(1)


class Tally(NamedTuple):
    """The distinct scores of some rows, ascending (d,) float64, and how many negatives and positives have each, (d,) int64."""

    scores: NDArray[np.float64]
    negatives: NDArray[np.int64]
    positives: NDArray[np.int64]


class Bins(NamedTuple):
    """Bins of equal mass: their rows, the sum of their scores and their positives, each (b,)."""

    rows: NDArray[np.int64]
    predicted: NDArray[np.float64]
    positives: NDArray[np.int64]


def tally(scores: ArrayLike, labels: ArrayLike) -> Tally:
    """Count (n,) scores, by whether their (n,) labels are above 0.

    Raises:
        ValueError: NaN among the scores, or lengths differ.
    """
    numbers = np.asarray(scores).ravel()
    packed = order_keys(numbers).astype(np.uint64)
    positive = positives_of(labels, packed.size)
    packed <<= _ONE
    packed |= positive
    packed.sort()
    is_positive = (packed & _ONE).view(np.int64)
    packed >>= _ONE
    first = run_starts(packed)
    rows = np.diff(first, append=packed.size)
    count = run_sums(is_positive, first)
    return Tally(_of_keys(packed[first].astype(np.uint32), numbers), rows - count, count)


def ranked_metrics(tallies: Iterable[Tally], rows: int, positives: int, bins: int = BINS) -> dict[str, float]:
    """Every metric of a binary task from tallies of ascending scores; the names are `names.BINARY_OFFLINE`.

    Args:
        tallies: of disjoint ranges of scores, ascending: one of all rows, or the parts of an external sort.
        rows, positives: counts over all of them.

    Raises:
        ValueError: a score outside [0, 1].
    """
    sums = _Sums(rows, positives, bins)
    for part in tallies:
        sums.add(part)
    return sums.metrics()


def equal_mass_bins(tallies: Iterable[Tally], rows: int, bins: int = BINS) -> Bins:
    """Rows in `bins` bins of equal mass by their score, for a calibration curve.

    Rows with equal scores stay together, in the bin of their middle rank: a bin may be larger than another, or empty.
    """
    found = _empty_bins(bins)
    before = 0
    for part in tallies:
        before = _add_to_bins(found, part, before, rows)
    return found


def calibration_error(bins: Bins) -> float:
    """Expected calibration error: the mean over rows of |mean prediction - share of positives| of the row's bin; NaN without rows.

    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning" (AAAI 2015), with bins of equal mass as in
    Nguyen & O'Connor (EMNLP 2015): an equal-width bin would hold nearly all rows of a rare label.
    """
    rows = int(bins.rows.sum())
    return float(np.abs(bins.predicted - bins.positives).sum()) / rows if rows else math.nan


def entropy(rate: float) -> float:
    """Entropy in nats of a yes/no with probability `rate`; 0 at 0 and 1, NaN for NaN."""
    if rate in (0.0, 1.0):
        return 0.0
    return -(rate * math.log(rate) + (1 - rate) * math.log1p(-rate))


def _of_keys(distinct: NDArray[np.uint32], numbers: NDArray) -> NDArray[np.float64]:
    """The scores whose `order_keys` are `distinct`."""
    if numbers.dtype in (np.float32, np.float16):
        return from_ordered_bits(distinct).astype(np.float64)
    return np.unique(numbers).astype(np.float64)


class _Sums:
    """Sums over ascending tallies."""

    def __init__(self, rows: int, positives: int, bins: int) -> None:
        self._rows, self._positives = rows, positives
        self._seen = self._seen_positives = self._twice_ordered = 0
        self._precision = self._loss = self._predicted = 0.0
        self._bins = _empty_bins(bins)

    def add(self, part: Tally) -> None:
        scores, negatives, positives = part
        if scores.size and not (scores[0] >= 0 and scores[-1] <= 1):
            raise ValueError(f"scores from {scores[0]:g} to {scores[-1]:g}: probabilities must be in [0, 1]")
        count = negatives + positives
        positives_below = self._seen_positives + np.cumsum(positives) - positives
        below = self._seen + np.cumsum(count) - count
        self._twice_ordered += int((positives * (2 * (below - positives_below) + negatives)).sum())
        found = self._positives - positives_below
        self._precision += float((positives * (found / (self._rows - below))).sum())
        probability = np.clip(scores, CLIP, 1 - CLIP), np.clip(1 - scores, CLIP, 1 - CLIP)
        self._loss -= float((positives * np.log(probability[0]) + negatives * np.log(probability[1])).sum())
        self._predicted += float((count * scores).sum())
        _add_to_bins(self._bins, part, self._seen, self._rows)
        self._seen += int(count.sum())
        self._seen_positives += int(positives.sum())

    def metrics(self) -> dict[str, float]:
        rows, positives = self._rows, self._positives
        if (rows, positives) != (self._seen, self._seen_positives):
            raise ValueError(f"{self._seen} rows and {self._seen_positives} positives were tallied, {rows} and {positives} announced")
        pairs = positives * (rows - positives)
        loss = self._loss / rows if rows else math.nan
        of_rate = entropy(positives / rows) if rows else math.nan
        return {
            "auc": self._twice_ordered / (2 * pairs) if pairs else math.nan,
            "log_loss": loss,
            "calibration": self._predicted / positives if positives else math.nan,
            "rows": float(rows),
            "positives": float(positives),
            "auprc": self._precision / positives if positives else math.nan,
            "normalized_entropy": loss / of_rate if of_rate else math.nan,
            "ece": calibration_error(self._bins),
        }


def _empty_bins(bins: int) -> Bins:
    return Bins(np.zeros(bins, np.int64), np.zeros(bins), np.zeros(bins, np.int64))


def _add_to_bins(bins: Bins, part: Tally, before: int, rows: int) -> int:
    """Adds a tally of scores above those of the `before` rows that came earlier; returns how many have come now."""
    count = part.negatives + part.positives
    upto = before + np.cumsum(count)
    middle = 2 * upto - count  # twice the middle rank
    place = middle * bins.rows.size // (2 * rows) if rows else middle
    first = run_starts(place)
    at = place[first]
    bins.rows[at] += run_sums(count, first)
    bins.predicted[at] += run_sums(count * part.scores, first)
    bins.positives[at] += run_sums(part.positives, first)
    return before + int(count.sum())
