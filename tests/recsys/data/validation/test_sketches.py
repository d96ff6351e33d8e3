"""The bounded counts against exact ones."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.hashing import hash_integers
from recsys.data.times import readable
from recsys.data.validation.days import day_name, day_numbers, partition_day, seconds
from recsys.data.validation.repeats import RowHashes, row_hashes, value_hashes
from recsys.data.validation.sketch import Distinct, collision_share


@pytest.mark.parametrize("count", [0, 1, 100, 5_000, 60_000, 1_000_000])
def test_different_values_within_three_standard_errors(count: int) -> None:
    sketch, other = Distinct(), Distinct()
    hashes = hash_integers(np.arange(count))
    sketch.add(hashes[: count // 2])
    other.add(hashes[count // 3 :])
    sketch.merge(other)
    assert sketch.estimate() == pytest.approx(count, rel=0.025)


@given(st.integers(2, 500), st.integers(1, 500), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_the_share_of_collisions_is_what_drawing_buckets_gives(distinct: int, buckets: int, seed: int) -> None:
    draws = np.random.default_rng(seed).integers(0, buckets, (10_000 // distinct, distinct))
    shared = np.mean([(np.bincount(row, minlength=buckets)[row] > 1).mean() for row in draws])
    assert collision_share(distinct, buckets) == pytest.approx(shared, abs=0.04)  # more than five of its standard errors


@given(st.lists(st.integers(0, 300), max_size=400), st.lists(st.integers(0, 300), max_size=400), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_repeats_and_shared_rows_against_sets(left: list[int], right: list[int], cut: int) -> None:
    one, two = RowHashes(), RowHashes()
    for part in (left[:cut], left[cut:]):
        piece = RowHashes()
        piece.add(hash_integers(np.array(part, np.int64)))
        one.merge(piece)
    two.add(hash_integers(np.array(right, np.int64)))
    assert one.repeats() == len(left) - len(set(left))
    assert one.shared_with(two) == len(set(left) & set(right))


def test_beyond_the_limit_the_counts_are_estimates_in_bounded_memory() -> None:
    one, two = RowHashes(limit=2_000), RowHashes(limit=500)
    rows = hash_integers(np.concatenate([np.arange(40_000), np.arange(20_000)]))
    for part in np.split(rows, 60):
        one.add(part)
    two.add(hash_integers(np.arange(30_000, 60_000)))
    assert sum(map(len, one._parts)) <= 2_000
    assert one.repeats() == pytest.approx(20_000, rel=0.15)
    assert one.shared_with(two) == pytest.approx(10_000, rel=0.3)


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-5, 5)), st.sampled_from(["a", "bb", None]), st.sampled_from([0.0, -0.0, 1.5])),
        max_size=40,
    )
)
@settings(max_examples=100, deadline=None)
def test_rows_hash_alike_exactly_when_they_are_equal(rows: list[tuple]) -> None:
    columns = list(zip(*rows, strict=True)) or [[], [], []]
    plain = pa.record_batch(
        {"i": pa.array(columns[0], pa.int32()), "s": pa.array(columns[1], pa.string()), "x": pa.array(columns[2], pa.float64())}
    )
    other = pa.record_batch({"i": plain["i"].cast(pa.int64()), "s": plain["s"].dictionary_encode(), "x": plain["x"].cast(pa.float32())})
    hashes = row_hashes(plain, ["i", "s", "x"])
    assert (hashes == row_hashes(other, ["i", "s", "x"])).all()
    assert len(set(hashes.tolist())) == len({(i, s, x + 0.0) for i, s, x in rows})


@pytest.mark.parametrize(
    "values",
    [
        pa.array([20220425]),
        pa.array([1650844800]),
        pa.array([1650844800_000]),
        pa.array([1650844800_000_000]),
        pa.array([1650844800_000_000_000]),
        pa.array([datetime(2022, 4, 25)]),
        pa.array([date(2022, 4, 25)]),
    ],
)
def test_every_way_to_write_a_time_gives_its_day(values: pa.Array) -> None:
    stamps = seconds(values)
    assert stamps is not None
    assert (day_name(day_numbers(stamps)[0]), readable(int(stamps[0]))) == ("2022-04-25", "2022-04-25 00:00:00")


def test_a_column_without_times_has_no_seconds() -> None:
    assert seconds(pa.array(["monday"])) is None
    assert partition_day("/log/split=train/date=2022-04-25/part-0.parquet") == "2022-04-25"
    assert partition_day("/log/dt=20220425/x.parquet") == "2022-04-25"
    assert partition_day("/log/part-0.parquet") is None
    assert len(value_hashes(pa.array([], pa.string()))) == 0
