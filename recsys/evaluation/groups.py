"""Metrics within groups of rows, such as those of a user or a request, and their mean over groups."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import positives_of
from recsys.evaluation.order import order_keys, run_starts, run_sums

_ONE = np.uint64(1)
_SCORE_AND_LABEL = np.uint64(33)
_LARGEST_CODE = 2**31 - 1


class GroupValues(NamedTuple):
    """Of each group that has rows, by ascending code, (g,): its code, a metric (NaN where it has none), its weight in the mean."""

    codes: NDArray[np.int64]
    values: NDArray[np.float64]
    weights: NDArray[np.float64]


class GroupMean(NamedTuple):
    """The weighted mean over the groups that have the metric; how many those are, and how many were left out."""

    value: float
    groups: int
    left_out: int


def group_codes(values: ArrayLike | pa.Array | pa.ChunkedArray) -> NDArray[np.int32]:
    """(n,) numbers 0 .. g-1, one for each distinct value, in the order in which they first appear.

    Raises:
        ValueError: null among the values: a row of no group can't be resampled with its group.
    """
    array = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(np.asarray(values).ravel())
    if array.null_count:
        raise ValueError(f"{array.null_count} of {len(array)} groups are null")
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return whole.dictionary_encode().indices.to_numpy().astype(np.int32, copy=False)


def compact(codes: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The distinct ones of (n,) codes, ascending, and the place of each code among them (n,): `np.unique` without its sort."""
    present = np.flatnonzero(np.bincount(codes))
    place = np.zeros(int(present[-1]) + 1 if present.size else 0, np.int64)
    place[present] = np.arange(present.size)
    return present, place[codes]


def gauc(scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupMean:
    """AUC within each group, averaged with the groups' rows as weights; groups of one class are left out and counted.

    Zhu et al., "Optimized Cost per Click in Taobao Display Advertising" (KDD 2017). Exact; ties count 1/2.

    Args:
        scores, labels: (n,) as for `auc`.
        groups: (n,) codes from `group_codes`.

    Raises:
        ValueError: NaN among the scores, or lengths differ.
    """
    return group_mean(group_auc(scores, labels, groups))


def recall_at(k: int, scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupMean:
    """Share of a group's positives among its `k` highest scores, averaged over groups; those without a positive are left out.

    Where a tie crosses place k, the expectation over its random order counts. Raises ValueError as `gauc`.
    """
    return group_mean(group_recall(k, scores, labels, groups))


def ndcg_at(k: int, scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupMean:
    """Normalised discounted cumulative gain of a group's `k` highest scores, averaged over groups with a positive.

    A positive at place r (from 1) gains 1 / log2(r + 1); the sum is divided by the best order's. Järvelin & Kekäläinen (TOIS
    2002). Ties count their expectation, as in McSherry & Najork (ECIR 2008) and scikit-learn. Raises ValueError as `gauc`.
    """
    return group_mean(group_ndcg(k, scores, labels, groups))


def group_mean(groups: GroupValues) -> GroupMean:
    """Weighted mean of the groups that have a value; NaN where none has."""
    has = ~np.isnan(groups.values)
    weight = groups.weights[has]
    value = float((weight * groups.values[has]).sum() / weight.sum()) if weight.size else math.nan
    return GroupMean(value, int(has.sum()), int(has.size - has.sum()))


def group_auc(scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupValues:
    """AUC of each group, weighted by its rows."""
    blocks = _Blocks.of(order_keys(scores), labels, groups)
    negatives = blocks.rows - blocks.positives
    below = blocks.before(negatives)
    ordered = blocks.group_sums(blocks.positives * (2 * below + negatives))
    positives, rows = blocks.group_sums(blocks.positives), blocks.group_sums(blocks.rows)
    pairs = positives * (rows - positives)
    return GroupValues(blocks.codes, _ratio(ordered, 2 * pairs), rows.astype(np.float64))


def group_recall(k: int, scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupValues:
    """Recall at `k` of each group, weighted 1."""
    blocks = _Blocks.of(~order_keys(scores), labels, groups)
    within = np.clip(k - blocks.before(blocks.rows), 0, blocks.rows)
    found = blocks.group_sums(blocks.positives * (within / blocks.rows))
    values = _ratio(found, blocks.group_sums(blocks.positives))
    return GroupValues(blocks.codes, values, np.ones(values.size))


def group_ndcg(k: int, scores: ArrayLike, labels: ArrayLike, groups: NDArray[np.integer]) -> GroupValues:
    """NDCG at `k` of each group, weighted 1."""
    blocks = _Blocks.of(~order_keys(scores), labels, groups)
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])  # of the first 0 .. k places
    first = blocks.before(blocks.rows)
    discount = discounts[np.minimum(first + blocks.rows, k)] - discounts[np.minimum(first, k)]
    gained = blocks.group_sums(blocks.positives * (discount / blocks.rows))
    values = _ratio(gained, discounts[np.minimum(blocks.group_sums(blocks.positives), k)])
    return GroupValues(blocks.codes, values, np.ones(values.size))


class _Blocks(NamedTuple):
    """Blocks of rows of one group and key, in that order: their count and positives (b,). Each group's code and first block (g,)."""

    codes: NDArray[np.int64]
    rows: NDArray[np.int64]
    positives: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.uint32], labels: ArrayLike, groups: NDArray[np.integer]) -> _Blocks:
        positive = positives_of(labels, keys.size)
        if groups.size != keys.size:
            raise ValueError(f"{keys.size} scores but {groups.size} groups")
        if groups.size and not (groups.min() >= 0 and groups.max() <= _LARGEST_CODE):
            raise ValueError(f"groups from {groups.min()} to {groups.max()}: they must be codes, from group_codes")
        packed = groups.astype(np.uint64) << _SCORE_AND_LABEL
        packed |= keys.astype(np.uint64) << _ONE
        packed |= positive
        packed.sort()
        is_positive = (packed & _ONE).view(np.int64)
        first = run_starts(packed >> _ONE)
        codes = packed[first] >> _SCORE_AND_LABEL
        starts = run_starts(codes)
        return cls(codes[starts].astype(np.int64), np.diff(first, append=packed.size), run_sums(is_positive, first), starts)

    def before(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """(b,) the sum of `counts` over a block's predecessors in its group."""
        running = np.cumsum(counts) - counts
        return running - np.repeat(running[self.starts], np.diff(self.starts, append=counts.size))

    def group_sums(self, counts: NDArray) -> NDArray:
        """(g,) sums over the groups' blocks."""
        return run_sums(counts, self.starts)


def _ratio(numerator: NDArray, denominator: NDArray) -> NDArray[np.float64]:
    return np.divide(numerator, denominator, out=np.full(numerator.size, math.nan), where=denominator > 0)
