"""Small views of Arrow arrays as numpy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.errors import InputError

_EMPTY = np.zeros(0, np.int64)


def plain(values: pa.Array) -> pa.Array:
    """The array without a dictionary."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def is_text(kind: pa.DataType) -> bool:
    """Whether values are strings or binaries."""
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary))


def fits(default: int | str, kind: pa.DataType) -> bool:
    """Whether a column of this type, or a dictionary of it, can hold the default."""
    return is_text(kind.value_type if pa.types.is_dictionary(kind) else kind) == isinstance(default, str)


def known(values: pa.Array) -> NDArray[np.bool_] | None:
    """(N,) whether each value is there, also where the null stands in a dictionary; None where all are."""
    if not pa.types.is_dictionary(values.type) or not values.dictionary.null_count:
        return valid(values) if values.null_count else None
    there = valid(values.indices)
    return there & valid(values.dictionary)[np.where(there, integers(values.indices), 0)]


def stored(values: pa.Array) -> NDArray[Any]:
    """(N,) view of what the buffer of an Arrow array of integers or floats holds, also where null; booleans become uint8.

    Unlike `to_numpy` it doesn't import pandas, which takes a good part of a second.
    """
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    buffer = values.buffers()[1]
    return np.from_dlpack(pa.Array.from_buffers(values.type, len(values), [None, buffer], offset=values.offset)) if buffer else _EMPTY


def integers(values: pa.Array) -> NDArray[np.int64] | NDArray[np.uint64]:
    """(N,) int64 (uint64 for uint64) of an Arrow array of integers or booleans; whatever the buffer holds where null."""
    narrow = stored(values)
    return narrow if narrow.dtype == np.uint64 else narrow.astype(np.int64, copy=False)


def valid(values: pa.Array) -> NDArray[np.bool_]:
    """(N,) whether each value of an Arrow array is there."""
    return stored(pc.is_valid(values)).view(np.bool_)


def floats(values: pa.Array) -> NDArray[np.float64]:
    """(N,) float64 of an Arrow array of numbers or booleans (not dictionary-encoded), NaN where null."""
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64(), safe=False)
    numbers = stored(values).astype(np.float64, copy=bool(values.null_count))
    if values.null_count:
        numbers[~valid(values)] = np.nan
    return numbers


def finite(values: pa.Array, where: str) -> NDArray[np.float64]:
    """(N,) float64 of numbers or booleans, NaN where null. Raises InputError on NaN or infinity; `where` names file and column."""
    values = plain(values)
    numbers = floats(values)
    with np.errstate(over="ignore", invalid="ignore"):
        if not values.null_count and np.isfinite(numbers.sum()):  # one pass; a sum may be infinite where no number is
            return numbers
    if np.count_nonzero(np.isfinite(numbers)) != len(values) - values.null_count:  # a null is NaN here
        raise InputError(f"{where}: NaN or infinity; write null for an unknown number")
    return numbers
