"""Rows that stand twice in a split, or in two splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.arrow import floats, integers, plain, valid
from recsys.data.hashing import hash_integers, hash_strings

_LIMIT = 1 << 23  # hashes kept: 64 MB
_NULL = np.uint64(0x9AE16A3B2F90404F)


class RowHashes:
    """The 64-bit hashes of rows, exact while there are at most `limit`.

    Beyond it, only rows whose hash ends in enough zero bits are kept: the same rows in every split, so that what is counted among them and
    scaled up (`factor`) estimates the whole.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit, self._parts, self.factor = limit, [np.empty(0, np.uint64)], 1

    def add(self, hashes: NDArray[np.uint64]) -> None:
        """Take in the (N,) hashes of rows."""
        self._parts.append(self._kept(hashes))
        while sum(map(len, self._parts)) > self._limit:
            self.factor *= 2
            self._parts = [self._kept(np.concatenate(self._parts))]

    def merge(self, other: RowHashes) -> None:
        """Take in what another has seen."""
        self.factor = max(self.factor, other.factor)
        self._parts = [self._kept(np.concatenate(self._parts))]
        self.add(np.concatenate(other._parts))

    def repeats(self) -> int:
        """Rows that another one before them equals; the rows that a deduplication would drop."""
        kept = np.concatenate(self._parts)
        return (len(kept) - len(np.unique(kept))) * self.factor

    def shared_with(self, other: RowHashes) -> int:
        """Different rows that stand in both."""
        factor = max(self.factor, other.factor)
        own, others = (np.unique(_ending_in_zeros(np.concatenate(one._parts), factor)) for one in (self, other))
        return len(np.intersect1d(own, others, assume_unique=True)) * factor

    def _kept(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return hashes if self.factor == 1 else _ending_in_zeros(hashes, self.factor)


def row_hashes(batch: pa.RecordBatch, columns: Sequence[str]) -> NDArray[np.uint64]:
    """(N,) hashes of the rows' values in some scalar columns; equal rows have equal hashes, different ones almost surely don't."""
    total = np.zeros(batch.num_rows, np.uint64)
    for column in columns:
        total = hash_integers(total ^ value_hashes(batch.column(column)))
    return total


def value_hashes(values: pa.Array) -> NDArray[np.uint64]:
    """(N,) hashes of the values of a scalar column; nulls are alike."""
    if pa.types.is_dictionary(values.type):
        of_each = value_hashes(values.dictionary)
        places = values.indices.fill_null(0)
        hashes = of_each[integers(places)] if len(of_each) else np.zeros(len(values), np.uint64)
        return _without_nulls(hashes, values)
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers = floats(values) + 0.0  # -0.0 is 0.0
        return _without_nulls(hash_integers(numbers.view(np.int64)), values)
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        return _without_nulls(hash_integers(integers(values)), values)
    if pa.types.is_temporal(values.type):
        return value_hashes(values.view(pa.int64() if values.type.bit_width == 64 else pa.int32()))
    return _without_nulls(hash_strings(plain(values)), values)


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a column of this type takes part in a row's hash: one value a row, not a list or a structure."""
    return not pa.types.is_nested(kind)


def _without_nulls(hashes: NDArray[np.uint64], values: pa.Array) -> NDArray[np.uint64]:
    return np.where(valid(values), hashes, _NULL) if values.null_count else hashes


def _ending_in_zeros(hashes: NDArray[np.uint64], factor: int) -> NDArray[np.uint64]:
    return hashes[(hashes & np.uint64(factor - 1)) == 0]
