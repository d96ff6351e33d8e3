"""Filters on partitions: the grammar, its refusals, and which files are opened."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import numbered

from recsys.data.filters import Comparison, Filter, parse_filter, partitions_of
from recsys.data.source import Need, open_source
from recsys.errors import InputError

ROW = Need("row", "id", False, "the feature 'row'")
SIGNS = {"=": "__eq__", "==": "__eq__", "!=": "__ne__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}
DAYS = st.dates(date(1990, 1, 1), date(2040, 12, 31))


@given(st.lists(st.tuples(st.sampled_from(sorted(SIGNS)), DAYS), min_size=1, max_size=4), DAYS, st.sampled_from(["", " ", "  "]))
def test_days_compare_as_days(wanted: list[tuple[str, date]], day: date, space: str) -> None:
    text = " and ".join(f"date{space}{sign}{space}{value}" for sign, value in wanted)
    assert parse_filter(text).admits({"date": str(day)}) == all(getattr(day, SIGNS[sign])(value) for sign, value in wanted)


@given(st.sampled_from(sorted(SIGNS)), st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(0, 3))
def test_integers_compare_as_integers(sign: str, limit: int, value: int, zeros: int) -> None:
    text = f"-{'0' * zeros}{-value}" if value < 0 else f"{'0' * zeros}{value}"
    assert parse_filter(f"hour {sign} {limit}").admits({"hour": text}) == getattr(value, SIGNS[sign])(limit)


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_refused_in_one_line(text: str) -> None:
    try:
        parsed = parse_filter(text)
    except ValueError as error:
        assert "date >= 2022-05-01" in str(error)
    else:
        assert parsed.comparisons


def test_forms() -> None:
    assert parse_filter("country in (de, 'at', \"c h\") and hour!=08") == Filter(
        (Comparison("country", "in", ("de", "at", "c h")), Comparison("hour", "!=", (8,)))
    )
    keep = parse_filter("country in (de, 'a b')")
    assert [keep.admits({"country": value}) for value in ("de", "a%20b", "at", "__HIVE_DEFAULT_PARTITION__")] == [True, True, False, False]
    assert keep.admits({}) and parse_filter("a = and").admits({"a": "and"})
    assert partitions_of("bucket/split=train/date=2022-05-01/part=0=1.parquet") == {
        "split": "train",
        "date": "2022-05-01",
        "part": "0=1.parquet",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a column is missing at the end"),
        ("date", "a sign such as >= is missing at the end"),
        ("date >=", "a value is missing at the end"),
        ("date >= 2022-05-01 or date < 2", "'or' stands where only `and`"),
        ("date >= 2022-05-01 date < 2", "'date' stands where only `and`"),
        ("date >= 2022-02-30", "there is no day 2022-02-30"),
        ("date ~ 3", "'~' is neither"),
        ("date in 3", "must be followed by a sign"),
        ("date in (3, x)", "values of one type"),
        ("date in (3", "`)` is missing"),
        ("__import__('os')", "'__import__' must be followed by a sign"),
    ],
)
def test_what_is_no_filter(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_filter(text)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten days of one row each, written by hours; that of 2022-05-04 is no parquet file."""
    for number in range(10):
        folder = tmp_path / f"date={date(2022, 5, 1) + timedelta(number)}" / f"hour={number:02}"
        folder.mkdir(parents=True)
        pq.write_table(numbered(1, number), folder / "part.parquet")
    (tmp_path / "date=2022-05-04" / "hour=03" / "part.parquet").write_text("damaged")
    (tmp_path / "_tmp" / "date=never").mkdir(parents=True)
    return tmp_path


def days(*paths: str) -> list[str]:
    return [partitions_of(file.path)["date"][-2:] for file in open_source(paths, [ROW]).files]


def test_only_matching_files_are_opened(log: Path) -> None:
    assert days(f"{log} where date >= 2022-05-05 and date < 2022-05-08") == ["05", "06", "07"]
    assert days(f"{log.as_uri()} where date != 2022-05-04 and hour <= 4") == ["01", "02", "03", "05"]
    assert days(f"{log}/*/hour=0[5-9]/*.parquet where hour in (6, 7)") == ["07", "08"]
    assert days(f"{log} where date = 2022-05-01", f"{log} where date in (2022-05-01, 2022-05-09)") == ["01", "09"]
    with pytest.raises(InputError, match="not a whole parquet file"):
        open_source([str(log)], [ROW])


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("day >= 2022-05-01", ["is not partitioned by 'day'", "the nearest is 'date'"]),
        ("date > 2023-01-01", ["no parquet file there has such partitions"]),
        ("date > 3", ["date=2022-05-01 is not an integer, which `date > 3` needs"]),
        ("hour > 2022-05-01", ["hour=00 is not a date"]),
        ("date >= soon or", ["only `and` can join"]),
    ],
)
def test_filters_that_do_not_fit_are_refused_in_one_line(log: Path, where: str, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        open_source([f"{log} where {where}"], [ROW])
    assert "\n" not in str(refusal.value) and str(log) in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_a_partition_is_no_column(log: Path) -> None:
    with pytest.raises(InputError, match="'hour' is a partition, which can only filter, but the feature 'hour' reads it"):
        open_source([f"{log} where date = 2022-05-01"], [Need("hour", "id", False, "the feature 'hour'")])
