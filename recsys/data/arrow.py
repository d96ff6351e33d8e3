"""Small views of Arrow arrays as numpy's."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.hashing import integers, valid
from recsys.errors import InputError


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


def floats(values: pa.Array) -> NDArray[np.float64]:
    """(N,) float64 of an Arrow array of numbers or booleans (not dictionary-encoded), NaN where null."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def finite(values: pa.Array, where: str) -> NDArray[np.float64]:
    """(N,) float64 of numbers or booleans, NaN where null. Raises InputError on NaN or infinity; `where` names file and column."""
    values = plain(values)
    numbers = floats(values)
    if np.count_nonzero(np.isfinite(numbers)) != len(values) - values.null_count:  # a null is NaN here
        raise InputError(f"{where}: NaN or infinity; write null for an unknown number")
    return numbers
