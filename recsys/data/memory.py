"""The last items of every user, remembered over the chunks of a log that is made or read in order of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Memory:
    """The last `length` items of each of `users` users and whether they were clicked: 5 * length bytes a user."""

    def __init__(self, users: int, length: int) -> None:
        self._length = length
        self._items = np.full((users, length), -1, np.int32)
        self._clicks = np.zeros((users, length), np.int8)

    def recall(self, user: NDArray[np.int32], item: NDArray[np.int32], click: NDArray[np.int8]) -> tuple[NDArray, NDArray, NDArray]:
        """(B,) sizes of the lists of these rows, and their items and clicks one after the other; then remembers the rows.

        Rows are in order of time and their items not negative. Each user's memory and its rows of this chunk are laid one after the
        other, so that a row's history is the `length` places before it.
        """
        last = np.arange(-self._length, 0)
        order = np.argsort(user, kind="stable")
        users, counts = np.unique(user, return_counts=True)
        ends = np.cumsum(counts + self._length)
        place = np.empty_like(order)
        place[order] = np.arange(len(user)) + self._length * np.repeat(np.arange(1, len(users) + 1), counts)
        remembered = (ends - counts)[:, None] + last
        items = _laid(place, item, remembered, self._items[users])
        clicks = _laid(place, click, remembered, self._clicks[users])
        self._items[users] = items[ends[:, None] + last]
        self._clicks[users] = clicks[ends[:, None] + last]
        before = place[:, None] + last
        known = items[before] >= 0
        return known.sum(1), items[before][known], clicks[before][known]


def _laid(place: NDArray, rows: NDArray, remembered: NDArray, memory: NDArray) -> NDArray:
    laid = np.empty(memory.size + len(rows), rows.dtype)
    laid[place] = rows
    laid[remembered] = memory
    return laid
