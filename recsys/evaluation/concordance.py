"""Pairs of rows that two orders agree on, counted for each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.order import order_keys, pack, run_starts, unpack


class RowPairs(NamedTuple):
    """Of each row (n,) int64: twice the other rows that are observed otherwise and predicted in that order (a tie counts 1), and how
    many rows are observed otherwise."""

    twice_concordant: NDArray[np.int64]
    pairs: NDArray[np.int64]


def row_pairs(predicted: ArrayLike, observed: ArrayLike) -> RowPairs:
    """Counts in O(n log n); their sums over rows are 4 and 2 times the numerator and denominator of `xauc`.

    Raises:
        ValueError: NaN among the numbers, or lengths differ.
    """
    prediction, truth = order_keys(predicted), order_keys(observed)
    if prediction.size != truth.size:
        raise ValueError(f"{prediction.size} predictions but {truth.size} observations")
    rows = truth.size
    # By truth upwards and by prediction downwards within it: no pair of equal truth is ascending below, nor one of equal prediction.
    both = pack(truth, ~prediction)
    place = np.empty(rows, np.int64)
    place[np.argsort(both)] = np.arange(rows)
    rank = np.empty(rows, np.int64)
    rank[_by_key_then_late_place(prediction, place)] = np.arange(rows)
    at_place = np.empty(rows, np.int64)
    at_place[place] = rank
    smaller_before = _smaller_before(at_place)[place]
    # Larger ones behind: those behind, less the smaller ones among them.
    ascending = 2 * smaller_before + rows - 1 - place - rank
    tied = _sizes(prediction) - _sizes(both)
    return RowPairs(2 * ascending + tied, rows - _sizes(truth))


def _by_key_then_late_place(keys: NDArray[np.uint32], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """The rows by key, equal ones from the last place to the first."""
    packed = pack(keys, (keys.size - 1 - place).astype(np.uint32))
    packed.sort()
    row_at = np.empty(keys.size, np.int64)
    row_at[place] = np.arange(keys.size)
    return row_at[keys.size - 1 - unpack(packed)[1].astype(np.int64)]


def _smaller_before(permutation: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) at each place of a permutation of 0 .. n-1, how many smaller numbers are at earlier places.

    As in `duration.ascending_pairs`: parted stably by one bit after the other, the numbers carry their counts along.
    """
    rows = permutation.size
    levels = max(rows - 1, 0).bit_length()
    numbers = np.arange((1 << levels) - 1, -1, -1, dtype=np.uint32)  # the padding is in front and above: before no smaller number
    numbers[numbers.size - rows :] = permutation
    counts = np.zeros(numbers.size, np.uint32)
    for level in reversed(range(levels)):
        half = 1 << level
        ones = (numbers & np.uint32(half)) != 0
        place = (np.flatnonzero(ones) & (2 * half - 1)).reshape(-1, half)
        zeros_before = place - np.arange(half)
        counts = _parted(counts[~ones], counts[ones] + zeros_before.ravel().astype(np.uint32), half)
        numbers = _parted(numbers[~ones], numbers[ones], half)
    return counts[permutation].astype(np.int64)


def _parted(zeros: NDArray[np.uint32], ones: NDArray[np.uint32], half: int) -> NDArray[np.uint32]:
    return np.stack([zeros.reshape(-1, half), ones.reshape(-1, half)], axis=1).ravel()


def _sizes(keys: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """(n,) how many keys are equal to each one, itself included."""
    rows = np.argsort(keys)
    starts = run_starts(keys[rows])
    sizes = np.diff(starts, append=keys.size)
    of_rows = np.empty(keys.size, np.int64)
    of_rows[rows] = np.repeat(sizes, sizes)
    return of_rows
