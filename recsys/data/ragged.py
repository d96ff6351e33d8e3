"""Ids of rows that have any number of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger]
Number = TypeVar("Number", bound=np.generic)
_BLOCK = 1024  # rows whose temporaries stay in cache


@dataclass(frozen=True)
class Ragged:
    """Ids of N rows, of any number each: row i has values[offsets[i]:offsets[i + 1]]; offsets (N + 1,).

    weights: a float32 beside each value, of weighted ids alone.
    """

    values: Ints
    offsets: Ints
    weights: NDArray[np.float32] | None = None

    @property
    def flat(self) -> Ints:
        """The ids of all rows, end to end."""
        return self.values[self.offsets[0] : self.offsets[-1]]

    @property
    def flat_weights(self) -> NDArray[np.float32]:
        """The weights of all ids, end to end; 1 where none were given."""
        if self.weights is None:
            return np.ones(self.offsets[-1] - self.offsets[0], np.float32)
        return self.weights[self.offsets[0] : self.offsets[-1]]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(N,) number of ids of each row."""
        return np.diff(self.offsets).astype(np.int32)

    def __getitem__(self, rows: slice) -> Ragged:
        """Consecutive rows, without a copy."""
        return Ragged(self.values, self.offsets[rows.start : rows.stop + 1], self.weights)

    def take(self, order: Ints) -> Ragged:
        """Rows in another order."""
        starts, lengths = self.offsets[:-1][order], np.diff(self.offsets)[order]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        weights = None if self.weights is None else gather(self.weights, starts, offsets)
        return Ragged(gather(self.values, starts, offsets), offsets, weights)


Ids = Ints | Ragged
"""Ids of N rows: an (N,) array has exactly one a row."""


def gather(values: NDArray[Number], starts: Ints, offsets: Ints) -> NDArray[Number]:
    """For each of N rows the values from starts[i] on, offsets[i + 1] - offsets[i] of them, laid end to end."""
    lengths = np.diff(offsets)
    shifts, out = starts - offsets[:-1], np.empty(offsets[-1], values.dtype)
    for first in range(0, len(starts), _BLOCK):
        begin, *_, end = offsets[first : first + _BLOCK + 1]
        source = np.repeat(shifts[first : first + _BLOCK], lengths[first : first + _BLOCK])
        source += np.arange(begin, end)
        np.take(values, source, out=out[begin:end], mode="clip")  # without a mode, `out` is buffered
    return out


def flat(ids: Ids) -> Ints:
    """The ids of all rows, end to end."""
    return ids.flat if isinstance(ids, Ragged) else ids


def flat_weights(ids: Ids) -> NDArray[np.float32]:
    """The weight of each id; 1 where none were given."""
    return ids.flat_weights if isinstance(ids, Ragged) else np.ones(len(ids), np.float32)


def lengths_of(parts: list[Ids]) -> list[NDArray[np.int32]]:
    """The lengths of each part; none when they are single ids."""
    return [part.lengths for part in parts if isinstance(part, Ragged)]


def join_ids(parts: list[Ids]) -> Ids:
    """All rows of the parts, in their order."""
    values, lengths = np.concatenate([flat(part) for part in parts]), lengths_of(parts)
    if not lengths:
        return values
    weighted = any(isinstance(part, Ragged) and part.weights is not None for part in parts)
    weights = np.concatenate([flat_weights(part) for part in parts]) if weighted else None
    return Ragged(values, np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)]), weights)
