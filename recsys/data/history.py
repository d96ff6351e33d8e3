"""What came before each row of a log: counts, sums and lists over the strictly earlier rows of the same key.

Everything is vectorised. A row never sees itself, nor another row of the same instant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def codes(*columns: ArrayLike) -> Integers:
    """(N,) one number, from 0 without gaps, for each distinct combination of the (N,) columns."""
    combined = np.zeros(len(np.asarray(columns[0])), np.int64)
    for column in columns:
        values, own = np.unique(np.asarray(column), return_inverse=True)
        combined = np.unique(combined * len(values) + own, return_inverse=True)[1]
    return combined


class Earlier:
    """For each of N rows, the rows of the same key with a strictly smaller time.

    key: (N,) integers from 0, as `codes` gives them. time: (N,) integers in any order; rows of equal time keep their order in lists.

    Example::

        before = Earlier(codes(user), time_ms)
        rate = before.total(click) / before.count
    """

    def __init__(self, key: ArrayLike, time: ArrayLike) -> None:
        self._key, self._time = np.asarray(key, np.int64), np.asarray(time, np.int64)
        self._order = np.lexsort((self._time, self._key))
        key_sorted, time_sorted = self._key[self._order], self._time[self._order]
        new_key = np.diff(key_sorted, prepend=-1) != 0
        new_time = new_key | (np.diff(time_sorted, prepend=0) != 0)
        self._begin, self._end = self._at_rows(_starts(new_key)), self._at_rows(_starts(new_time))

    @property
    def count(self) -> Integers:
        """(N,) how many rows are earlier."""
        return self._end - self._begin

    def total(self, values: ArrayLike) -> Floats:
        """(N,) or (N, C) sums of `values` of the same shape over the earlier rows; 0 where there are none."""
        ordered = np.asarray(values, np.float64)[self._order]
        running = np.concatenate([np.zeros_like(ordered[:1]), np.cumsum(ordered, 0)])
        return running[self._end] - running[self._begin]

    @property
    def latest(self) -> Integers:
        """(N,) index of the latest earlier row, -1 where there is none."""
        return np.where(self.count > 0, self._order[self._end - 1], -1)

    def count_within(self, duration: int) -> Integers:
        """(N,) how many rows have a time from `time - duration` up to, but not including, `time`."""
        since = self._time - (self._time.min() if len(self._time) else 0)
        stride = int(since.max(initial=0)) + 1
        place = self._key * stride + since
        first = np.searchsorted(place[self._order], self._key * stride + np.maximum(since - duration, 0))
        return self._end - first

    def lists(self, length: int, rows: ArrayLike) -> tuple[Integers, Integers]:
        """The last `length` earlier rows of each of the R `rows`, oldest first.

        Returns (R + 1,) offsets and the indices of rows that they delimit: the list of `rows[i]` is `indices[offsets[i]:offsets[i + 1]]`.
        """
        rows = np.asarray(rows)
        end = self._end[rows]
        sizes = np.minimum(self.count[rows], length)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        return offsets, self._order[np.arange(offsets[-1]) + np.repeat(end - sizes - offsets[:-1], sizes)]

    def _at_rows(self, sorted_values: Integers) -> Integers:
        values = np.empty_like(sorted_values)
        values[self._order] = sorted_values
        return values


def _starts(new: NDArray[np.bool_]) -> Integers:
    """(N,) the position of the latest True at or before each position."""
    return np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))


def shrunk_mean(total: ArrayLike, count: ArrayLike, weight: float, prior: ArrayLike = 0.0) -> Floats:
    """Mean that starts at `prior` and moves towards total / count, as if `weight` rows of the prior had been seen before."""
    return (np.asarray(total, np.float64) + weight * np.asarray(prior)) / (np.asarray(count) + weight)
