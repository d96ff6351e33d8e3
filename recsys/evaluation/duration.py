"""Metrics of tasks that predict a time in seconds."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import auc
from recsys.evaluation.names import BY_DURATION
from recsys.evaluation.order import order_keys, pack, run_starts, sort_rows, unpack


def errors(predicted: ArrayLike, observed: ArrayLike) -> dict[str, float]:
    """`mae` and `rmse` in seconds and `rmse_log1p` of (n,) seconds, in float64; NaN without rows.

    Raises:
        ValueError: NaN or a time below 0, or lengths differ.
    """
    seconds, truth = _seconds(predicted, "predicted"), _seconds(observed, "observed")
    _same_length(seconds, truth)
    if not seconds.size:
        return dict.fromkeys(("mae", "rmse", "rmse_log1p"), math.nan)
    difference = seconds - truth
    in_log = np.log1p(seconds) - np.log1p(truth)
    return {
        "mae": float(np.abs(difference).mean()),
        "rmse": math.sqrt(np.square(difference).mean()),
        "rmse_log1p": math.sqrt(np.square(in_log).mean()),
    }


def spearman(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Rank correlation of (n,) numbers, ties at their average rank; NaN where either side is constant.

    Raises:
        ValueError: NaN among the numbers, or lengths differ.
    """
    left, right = order_keys(predicted), order_keys(observed)
    _same_length(left, right)
    if left.size < 2:
        return math.nan
    x, y = _centred_ranks(left), _centred_ranks(right)
    # numpy's pairwise sums, not BLAS's running ones, which are off by 1e-12 at a million rows.
    scale = math.sqrt(np.square(x).sum()) * math.sqrt(np.square(y).sum())
    return float((x * y).sum()) / scale if scale else math.nan


def xauc(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Share of the pairs of rows with different `observed` that `predicted` orders alike; equal predictions count 1/2.

    Exact in O(n log n): the metric of Zhan et al., "Deconfounding Duration Bias in Watch-time Prediction" (KDD 2022), which
    samples the pairs. NaN where all rows are observed alike.

    Raises:
        ValueError: NaN among the numbers, or lengths differ.
    """
    prediction, truth = order_keys(predicted), order_keys(observed)
    _same_length(prediction, truth)
    # By truth upwards and by prediction downwards within it: no pair of equal truth is ascending below.
    by_truth = pack(truth, ~prediction)
    by_truth.sort()
    ordered_truth, complement = unpack(by_truth)
    pairs = _pairs(truth.size) - _equal_pairs(ordered_truth)
    if not pairs:
        return math.nan
    tied = _equal_pairs(np.sort(prediction)) - _equal_pairs(by_truth)
    return (2 * ascending_pairs(~complement) + tied) / (2 * pairs)


def ascending_pairs(keys: NDArray[np.uint32]) -> int:
    """Pairs of places i < j with keys[i] < keys[j], for (n,) keys in any order.

    Keys become a permutation, padded in front to a power of two. Level by level it is parted stably by its highest remaining bit:
    an ascending pair is a 0 before a 1 in the one block where its two members part.
    """
    rows = keys.size
    levels = max(rows - 1, 0).bit_length()
    # Equal keys are ranked from the last place to the first, so that they are never ascending; neither is the padding.
    places = pack(keys, np.arange(rows, dtype=np.uint32)[::-1])
    places.sort()
    rank = np.empty(1 << levels, np.uint32)
    padding = rank.size - rows
    rank[:padding] = np.arange(rows, rank.size, dtype=np.uint32)[::-1]
    rank[padding + rows - 1 - unpack(places)[1].astype(np.int64)] = np.arange(rows, dtype=np.uint32)
    return sum(_part(rank, level) for level in reversed(range(levels)))


def duration_metrics(predicted: ArrayLike, observed: ArrayLike, threshold: float) -> dict[str, float]:
    """Every metric of a duration task from (n,) seconds; the names are `names.DURATION`, a positive is longer than `threshold`."""
    longer = np.asarray(observed).ravel() > threshold
    return {
        **errors(predicted, observed),
        "spearman": spearman(predicted, observed),
        "xauc": xauc(predicted, observed),
        "auc": auc(predicted, longer),
        "rows": float(longer.size),
        "positives": float(np.count_nonzero(longer)),
    }


def duration_buckets(durations: ArrayLike, buckets: int = 10) -> NDArray[np.int64]:
    """(n,) codes of `buckets` groups of equal mass by the item's duration, as in Zhan et al. (KDD 2022); equal ones stay together.

    Raises:
        ValueError: NaN among the durations.
    """
    keys = order_keys(durations)
    ordered, rows = sort_rows(keys)
    starts = run_starts(ordered)
    sizes = np.diff(starts, append=keys.size)
    codes = np.empty(keys.size, np.int64)
    codes[rows] = np.repeat((2 * starts + sizes) * buckets // max(1, 2 * keys.size), sizes)
    return codes


def bucketed_metrics(predicted: ArrayLike, observed: ArrayLike, buckets: NDArray[np.integer]) -> dict[str, float]:
    """Metrics within each bucket of `duration_buckets`, averaged with the buckets' rows as weights; the names are `names.BY_DURATION`.

    Within a bucket a longer video no longer explains a longer watch time. Buckets in which a metric isn't defined are left out of
    its mean. (The mean of the buckets' MAE would be the MAE.)
    """
    prediction, truth = np.asarray(predicted).ravel(), np.asarray(observed).ravel()
    _same_length(prediction, buckets)
    means = dict.fromkeys(BY_DURATION, math.nan)
    found = [_of_bucket(prediction[rows], truth[rows]) for rows in (buckets == bucket for bucket in np.unique(buckets))]
    for name in BY_DURATION:
        defined = [(part[name], part["rows"]) for part in found if not math.isnan(part[name])]
        if defined:
            values, weights = zip(*defined, strict=True)
            means[name] = float(np.average(values, weights=weights))
    return means


def _of_bucket(predicted: NDArray, observed: NDArray) -> dict[str, float]:
    of_errors = errors(predicted, observed)
    values = of_errors["rmse"], of_errors["rmse_log1p"], spearman(predicted, observed), xauc(predicted, observed)
    return dict(zip(BY_DURATION, values, strict=True)) | {"rows": float(predicted.size)}


def _part(rank: NDArray[np.uint32], level: int) -> int:
    """Parts every block of 2^(level+1) in place by bit `level`; returns the pairs of a 0 before a 1 within blocks."""
    half = 1 << level
    ones = (rank & np.uint32(half)) != 0
    # A block holds as many ones as zeros; a 1 at place i has i - (ones before it) zeros before it.
    place = np.flatnonzero(ones) & (2 * half - 1)
    blocks = rank.size // (2 * half)
    zeros_before = int(place.sum()) - blocks * (half * (half - 1) // 2)
    parted = np.stack([rank[~ones].reshape(blocks, half), rank[ones].reshape(blocks, half)], axis=1)
    rank[:] = parted.ravel()
    return zeros_before


def _centred_ranks(keys: NDArray[np.uint32]) -> NDArray[np.float64]:
    """(n,) twice the average rank minus the mean: whole numbers, exact in float64."""
    rows = keys.size
    packed = pack(keys, np.arange(rows, dtype=np.uint32))
    packed.sort()
    ordered, places = unpack(packed)
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    sizes = np.diff(first, append=rows)
    ranks = np.empty(rows)
    ranks[places] = np.repeat(2.0 * first + sizes - rows, sizes)
    return ranks


def _equal_pairs(ordered: NDArray[np.unsignedinteger]) -> int:
    """Pairs of equal numbers in a sorted array."""
    if not ordered.size:
        return 0
    first = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    sizes = np.diff(first, prepend=0, append=ordered.size)
    return int((sizes * (sizes - 1) // 2).sum())


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _seconds(numbers: ArrayLike, name: str) -> NDArray[np.float64]:
    seconds = np.asarray(numbers, np.float64).ravel()
    wrong = int(np.count_nonzero(~(seconds >= 0)))
    if wrong:
        raise ValueError(f"{wrong} of {seconds.size} {name} times are NaN or below 0")
    return seconds


def _same_length(left: NDArray, right: NDArray) -> None:
    if left.size != right.size:
        raise ValueError(f"{left.size} predictions but {right.size} observations")
