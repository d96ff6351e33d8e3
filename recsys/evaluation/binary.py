"""Metrics of yes/no tasks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.order import order_keys

CLIP = 1e-7  # a float32 sigmoid saturates 6e-8 below 1
_ONE = np.uint64(1)


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs that are ordered rightly, ties counting 1/2.

    Exact (Mann-Whitney U in integers, divided once), whatever the order of the rows. float32 scores are the fast path.

    Args:
        scores: (n,) numbers, infinities included.
        labels: (n,) booleans or numbers; above 0 is positive.

    Returns:
        NaN where there are only positives or only negatives.

    Raises:
        ValueError: NaN among the scores, or lengths differ.
    """
    packed = order_keys(scores).astype(np.uint64)
    positive = positives_of(labels, packed.size)
    packed <<= _ONE
    packed |= positive
    packed.sort()  # ties: negatives first
    is_positive = (packed & _ONE).view(np.int64).astype(bool)
    positives = int(np.count_nonzero(is_positive))
    negatives = packed.size - positives
    if not positives or not negatives:
        return math.nan
    # A positive at place i has i - (positives before it) negatives below or beside it.
    below_or_tied = int(np.flatnonzero(is_positive).sum()) - positives * (positives - 1) // 2
    return (2 * below_or_tied - _tied_pairs(packed)) / (2 * positives * negatives)


def _tied_pairs(packed: NDArray[np.uint64]) -> int:
    """Pairs of a positive and a negative with the same score, in sorted `score << 1 | label`."""
    last_negative = np.flatnonzero((packed[1:] ^ packed[:-1]) == _ONE)
    start = np.searchsorted(packed, packed[last_negative], side="left")
    end = np.searchsorted(packed, packed[last_negative + 1], side="right")
    return int(((last_negative + 1 - start) * (end - last_negative - 1)).sum())


def positives_of(labels: ArrayLike, rows: int) -> NDArray[np.bool_]:
    """(rows,) whether the labels are above 0. Raises ValueError where they are not as many as `rows`."""
    positive = np.asarray(labels).ravel() > 0
    if positive.size != rows:
        raise ValueError(f"{rows} scores but {positive.size} labels")
    return positive


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean of -log(probability of the true label), in float64; NaN without rows.

    Probabilities are clipped to [1e-7, 1 - 1e-7], so that one saturated prediction doesn't make the mean infinite.

    Raises:
        ValueError: a probability is NaN or outside [0, 1], or lengths differ.
    """
    probability = np.asarray(probabilities, np.float64).ravel()
    positive = positives_of(labels, probability.size)
    outside = int(np.count_nonzero(~((probability >= 0) & (probability <= 1))))
    if outside:
        raise ValueError(f"{outside} of {probability.size} probabilities are NaN or outside [0, 1]")
    if not probability.size:
        return math.nan
    of_label = np.where(positive, probability, 1 - probability)
    return float(-np.log(np.clip(of_label, CLIP, 1 - CLIP)).mean())


def calibration(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean prediction / share of positives: 1 is right, above 1 promises too much; NaN without a positive."""
    positive = np.asarray(labels).ravel() > 0
    predicted = float(np.asarray(probabilities).sum(dtype=np.float64))
    return predicted / int(np.count_nonzero(positive)) if positive.any() else math.nan


def binary_metrics(probabilities: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """Every metric of a binary task from (n,) probabilities and (n,) labels in {0, 1}; the names are `names.BINARY`."""
    positive = np.asarray(labels).ravel() > 0
    return {
        "auc": auc(probabilities, positive),
        "log_loss": log_loss(probabilities, positive),
        "calibration": calibration(probabilities, positive),
        "rows": float(positive.size),
        "positives": float(np.count_nonzero(positive)),
    }
