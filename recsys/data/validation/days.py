"""The day of each row."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.data.arrow import integers, plain
from recsys.data.times import beginnings_of_days, per_second

DAY = 86_400  # seconds
_PARTITION = re.compile(r"/(?:date|day|dt|ds)=(\d{4})-?(\d{2})-?(\d{2})(?:/|$)")


def partition_day(path: str) -> str | None:
    """The day that a hive partition of the path names (`.../date=2022-04-25/...`), as 2022-04-25; None where there is none."""
    found = _PARTITION.search(path)
    return "-".join(found.groups()) if found else None


def seconds(values: pa.Array) -> NDArray[np.int64] | None:
    """(N,) seconds since 1970 of a column of times; None for a type that holds none.

    Timestamps and dates say what they are. Of integers, 20220425 is a date, and others are seconds, milli-, micro- or nanoseconds by their
    size (times from 1973 on). A null stays a null's placeholder: mask it with the column's own.
    """
    values = plain(values)
    kind = values.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return integers(pc.cast(pc.cast(values, pa.timestamp("s"), safe=False), pa.int64())).astype(np.int64)
    if not pa.types.is_integer(kind):
        return None
    return seconds_of_integers(integers(values).astype(np.int64))


def seconds_of_integers(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) seconds since 1970 of (N,) integers, whose unit is told by their size."""
    begins = beginnings_of_days(numbers)
    return numbers // per_second(int(numbers.max(initial=0))) if begins is None else begins


def day_numbers(stamps: NDArray[np.int64]) -> NDArray[np.int64]:
    """(N,) days since 1970 (UTC) of seconds."""
    return stamps // DAY


def day_name(number: int) -> str:
    """2022-04-25 of days since 1970."""
    return str(np.datetime64(int(number), "D"))


def day_number(name: str) -> int:
    """Days since 1970 of 2022-04-25."""
    return (date.fromisoformat(name) - date(1970, 1, 1)).days
