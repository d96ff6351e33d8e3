"""List columns: the last elements of each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.arrow import integers, known, valid
from recsys.data.features.encoding import Encoding
from recsys.data.ragged import Ints, Ragged, places
from recsys.errors import InputError


@dataclass(frozen=True)
class Lists:
    """Some elements of the lists of N rows: those of row i are values[starts[i]:starts[i] + lengths[i]]; none where the row is null."""

    starts: Ints
    lengths: Ints
    values: pa.Array

    @classmethod
    def of(cls, column: pa.Array) -> Lists:
        """All elements of a list column, without a copy."""
        if pa.types.is_fixed_size_list(column.type):
            column = pc.cast(column, pa.list_(column.type.value_type))
        offsets = integers(column.offsets)
        values, lengths = column.values.slice(offsets[0], offsets[-1] - offsets[0]), np.diff(offsets)
        if column.null_count:
            lengths[~valid(column)] = 0
        return cls(offsets[:-1] - offsets[0], lengths, values)

    def last(self, most: int) -> Lists:
        """The last elements of each row."""
        lengths = np.minimum(self.lengths, most)
        return Lists(self.starts + (self.lengths - lengths), lengths, self.values)

    def laid(self) -> tuple[pa.Array, Ints]:
        """The elements, end to end, and the (N + 1,) offsets of the rows."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        if offsets[-1] == len(self.values):
            return self.values, offsets
        return self.values.take(pa.array(places(self.starts, offsets))), offsets


def encoded(lists: Lists, encode: Encoding, where: str) -> Ragged:
    """The table rows of the elements."""
    values, offsets = lists.laid()
    return Ragged(encode(values, where), offsets)


def check_aligned(lists: Mapping[str, Lists], where: str, what: str) -> None:
    """Raise InputError unless the columns, by name, have lists of the same lengths in each row."""
    (first, reference), *others = lists.items()
    for column, own in others:
        if not np.array_equal(reference.lengths, own.lengths):
            row = int(np.argmax(reference.lengths != own.lengths))
            raise InputError(
                f"{where}: columns {first!r} and {column!r} of {what} have lists of {reference.lengths[row]} and "
                f"{own.lengths[row]} elements in one row; write lists of one length"
            )


def absent(column: pa.Array) -> Ints:
    """The rows without a list."""
    there = known(column)
    return np.zeros(0, np.int64) if there is None else np.flatnonzero(~there)
