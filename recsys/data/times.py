"""When the rows of a log happened, as far as footers tell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.data.source import SourceFile

# Seconds, milliseconds, microseconds and nanoseconds since 1970 can't be taken for each other: each is of the years 1973 to 5138.
_LARGEST_SECONDS = 1e11
_FIRST_DAY, _LAST_DAY = 19_000_101, 21_001_231  # written as numbers


def seconds_since_1970(times: NDArray[Any]) -> NDArray[np.float64]:
    """(n,) seconds of (n,) integers or floats (days such as 20220425; seconds, ms, us or ns since 1970, told apart by their size), or of
    numpy's datetimes. NaN stays."""
    if times.dtype.kind == "M":
        return times.astype("datetime64[ns]").astype(np.int64) / 1e9
    numbers = times.astype(np.float64)
    known = np.isfinite(numbers)
    begins = beginnings_of_days(numbers[known].astype(np.int64))
    if begins is None:
        return numbers / per_second(float(np.abs(numbers[known]).max(initial=0.0)))
    numbers[known] = begins
    return numbers


def beginnings_of_days(numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """(n,) seconds since 1970 at which days such as 20220425 begin in UTC; None unless all of the (n,) numbers can be days."""
    if not len(numbers) or not _FIRST_DAY <= numbers.min() <= numbers.max() <= _LAST_DAY:
        return None
    months = (numbers // 10_000 - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (numbers // 100 % 100 - 1)
    days = months.astype("datetime64[D]") + (numbers % 100 - 1)
    return days.astype("datetime64[s]").astype(np.int64)


def per_second(largest: float) -> int:
    """1, 1,000, 1,000,000 or 1,000,000,000: the unit of times of which this is the largest."""
    divisor = 1
    while largest / divisor > _LARGEST_SECONDS:
        divisor *= 1000
    return divisor


def seconds_of_date(day: date) -> float:
    """Seconds since 1970 of a datetime, in UTC where it has no zone, or of a date's beginning."""
    begin = day if isinstance(day, datetime) else datetime(day.year, day.month, day.day)
    return begin.replace(tzinfo=begin.tzinfo or UTC).timestamp()


def readable(seconds: float) -> str:
    """`2022-05-06 00:00:12`, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def time_range(files: Sequence[SourceFile], column: str) -> tuple[float, float] | None:
    """Seconds since 1970 of the earliest and the latest row, by the footers' statistics; None where these are missing."""
    ends: list[Any] = []
    for file in files:
        with file.open() as parquet:
            for group in range(parquet.metadata.num_row_groups):
                chunks = (parquet.metadata.row_group(group).column(index) for index in range(parquet.metadata.num_columns))
                chunk = next((chunk for chunk in chunks if chunk.path_in_schema == column), None)
                if chunk is None or chunk.statistics is None or not chunk.statistics.has_min_max:
                    return None
                ends += [chunk.statistics.min, chunk.statistics.max]
    if not ends:
        return None
    numbers = [seconds_of_date(end) if isinstance(end, date) else end for end in ends]
    seconds = seconds_since_1970(np.array([min(numbers), max(numbers)]))
    return float(seconds[0]), float(seconds[1])
