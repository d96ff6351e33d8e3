"""Counts, sums and lists over strictly earlier rows, against loops that look at every pair of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.data.history import Earlier, codes, shrunk_mean

# few keys and few instants, so that equal keys and equal times are common
EVENTS = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5), st.integers(-9, 9)), max_size=30)


def columns(events: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    key, time, value = np.array(events, np.int64).reshape(-1, 3).T
    return key, time, value


def earlier_rows(key: np.ndarray, time: np.ndarray, row: int) -> list[int]:
    """The oracle: rows of the same key with a smaller time, in order of time, then of the log."""
    rows = [other for other in range(len(key)) if key[other] == key[row] and time[other] < time[row]]
    return sorted(rows, key=lambda other: (time[other], other))


@given(EVENTS)
def test_count_total_and_latest_are_those_of_the_earlier_rows(events: list[tuple[int, int, int]]) -> None:
    key, time, value = columns(events)
    before = Earlier(key, time)
    total, both = before.total(value), before.total(np.column_stack([value, value**2]))
    assert both.shape == (len(key), 2)
    for row in range(len(key)):
        rows = earlier_rows(key, time, row)
        assert before.count[row] == len(rows)
        assert total[row] == value[rows].sum()
        assert both[row].tolist() == [value[rows].sum(), (value[rows] ** 2).sum()]
        assert before.latest[row] == (rows[-1] if rows else -1)


@given(EVENTS, st.integers(0, 12))
def test_count_within_has_the_rows_of_the_window(events: list[tuple[int, int, int]], duration: int) -> None:
    key, time, _ = columns(events)
    counts = Earlier(key, time).count_within(duration)
    for row in range(len(key)):
        assert counts[row] == sum(time[row] - time[other] <= duration for other in earlier_rows(key, time, row))


@given(EVENTS, st.integers(1, 5), st.data())
def test_lists_hold_the_last_earlier_rows_oldest_first(events: list[tuple[int, int, int]], length: int, data: st.DataObject) -> None:
    key, time, _ = columns(events)
    chosen = data.draw(st.lists(st.integers(0, len(key) - 1), max_size=8)) if len(key) else []
    offsets, indices = Earlier(key, time).lists(length, np.array(chosen, np.int64))
    assert len(offsets) == len(chosen) + 1
    for place, row in enumerate(chosen):
        assert indices[offsets[place] : offsets[place + 1]].tolist() == earlier_rows(key, time, row)[-length:]


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("abc")), min_size=1, max_size=20))
def test_codes_are_equal_where_all_columns_are(rows: list[tuple[int, str]]) -> None:
    numbers, letters = zip(*rows, strict=True)
    result = codes(np.array(numbers), np.array(letters))
    assert set(result.tolist()) == set(range(len(set(rows))))
    assert [[a == b for b in rows] for a in rows] == (result[:, None] == result).tolist()


def test_real_times_do_not_overflow() -> None:
    time = 1_650_000_000_000 + np.arange(5) * 86_400_000 * 30
    assert Earlier(np.array([0, 4_000_000] * 2 + [0]), time).count_within(86_400_000 * 60).tolist() == [0, 0, 1, 1, 1]


def test_shrunk_mean_starts_at_the_prior_and_ends_at_the_mean() -> None:
    assert shrunk_mean(0.0, 0, 5, 0.3) == pytest.approx(0.3)
    assert shrunk_mean(8.0, 10, 10, 0.2) == pytest.approx(0.5)
    assert shrunk_mean(8e9, 1e10, 10, 0.2) == pytest.approx(0.8)
