"""When the rows of a log happened, by the footers of its files, however times are written."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.source import open_source
from recsys.data.times import readable, seconds_since_1970, time_range

FIRST, LAST = datetime(2022, 4, 25, tzinfo=UTC), datetime(2022, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([date(2022, 5, 1), date(2022, 4, 25)]),
        pa.array([LAST, FIRST], pa.timestamp("us", "UTC")),
        pa.array([LAST.replace(tzinfo=None), FIRST.replace(tzinfo=None)], pa.timestamp("ms")),
        pa.array([int(LAST.timestamp()), int(FIRST.timestamp())]),
        pa.array([int(LAST.timestamp() * 1000), int(FIRST.timestamp() * 1000)]),
        pa.array([LAST.timestamp(), FIRST.timestamp()]),
        pa.array([20220501, 20220425], pa.int32()),
    ],
)
def test_the_range_of_a_log_is_told_by_its_footers(tmp_path: Path, times: pa.Array) -> None:
    pq.write_table(pa.table({"time": times, "other": [1, 2]}), tmp_path / "x.parquet")
    found: Any = time_range(open_source([str(tmp_path)], []).files, "time")
    assert [readable(end) for end in found] == ["2022-04-25 00:00:00", "2022-05-01 00:00:00"]


@given(st.lists(st.none() | st.dates(date(1900, 1, 1), date(2100, 12, 31)), min_size=1))
def test_days_that_are_written_as_numbers_begin_where_the_calendar_says(days: list[date | None]) -> None:
    """As floats, which they become where some are null; the reference is Python's calendar."""
    written = [math.nan if day is None else float(day.strftime("%Y%m%d")) for day in days]
    expected = [math.nan if day is None else datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() for day in days]
    np.testing.assert_array_equal(seconds_since_1970(np.array(written)), expected)
