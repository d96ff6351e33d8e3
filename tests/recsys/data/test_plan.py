from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data.plan import Plan, owned_streams
from recsys.errors import InputError

plans = st.builds(
    Plan,
    groups=st.lists(st.integers(0, 60), min_size=1, max_size=8).map(lambda sizes: [(i // 3, i % 3, rows) for i, rows in enumerate(sizes)]),
    streams=st.integers(1, 6),
    step_rows=st.integers(1, 9),
    window_rows=st.integers(1, 40),
    seed=st.integers(-5, 2**40),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)


def rows_of(plan: Plan, stream: int, start_step: int = 0) -> list[tuple[int, int, int]]:
    """(file, row group, row) in the order in which the stream gives them."""
    found: list[tuple[int, int, int]] = []
    for window in plan.windows(stream, start_step):
        rows = [(piece.file, piece.group, row) for piece in window.pieces for row in range(piece.first, piece.first + piece.rows)]
        order = plan.order(stream, window)
        assert len(rows) == window.rows
        found += rows if order is None else [rows[i] for i in order]
    return found


@settings(deadline=None)
@given(plans)
def test_every_row_exactly_once(plan: Plan) -> None:
    found = [row for stream in range(plan.streams) for row in rows_of(plan, stream)]
    assert sorted(found) == [(file, group, row) for file, group, rows in plan.groups for row in range(rows)]
    if not plan.shuffle:
        assert found == sorted(found)


@settings(deadline=None)
@given(plans)
def test_streams_are_equal_to_a_row_and_steps_use_them_up(plan: Plan) -> None:
    sizes = [len(rows_of(plan, stream)) for stream in range(plan.streams)]
    assert sizes == [plan.stream_rows(stream) for stream in range(plan.streams)]
    assert max(sizes) - min(sizes) <= 1
    for stream, size in enumerate(sizes):
        spans = [plan.step(stream, step) for step in range(plan.steps)]
        assert [row for span in spans for row in range(*span)] == list(range(size))
    assert plan.steps == -(-max(sizes) // plan.step_rows)


@settings(deadline=None)
@given(plans, st.integers(0, 10))
def test_a_step_lies_in_one_window_and_resuming_skips_whole_windows(plan: Plan, start_step: int) -> None:
    for stream in range(plan.streams):
        windows, resumed = plan.windows(stream), plan.windows(stream, start_step)
        assert resumed == windows[len(windows) - len(resumed) :]
        assert all(window.start + window.rows > start_step * plan.step_rows for window in resumed)
        assert len(resumed) == len(windows) or resumed == [] or resumed[0].start <= start_step * plan.step_rows
        assert all(window.rows <= max(plan.window_rows, plan.step_rows) for window in windows)
        for first, last in (plan.step(stream, step) for step in range(start_step, plan.steps)):
            assert first == last or sum(window.start <= first < last <= window.start + window.rows for window in windows) == 1


def test_the_order_is_that_of_seed_and_epoch() -> None:
    plan = Plan([(0, group, 50) for group in range(6)], streams=2, step_rows=5, window_rows=50, seed=1, shuffle=True)
    order = rows_of(plan, 0)
    assert rows_of(replace(plan), 0) == order
    assert rows_of(replace(plan, epoch=1), 0) != order
    assert rows_of(replace(plan, seed=2), 0) != order
    assert rows_of(replace(plan, shuffle=False), 0) != order


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_ranks_share_out_the_streams(streams: int, data: st.DataObject) -> None:
    world_size = data.draw(st.integers(1, streams))
    shares = [owned_streams(streams, rank, world_size) for rank in range(world_size)]
    assert [stream for share in shares for stream in share] == list(range(streams))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    with pytest.raises(InputError, match=r"data\.streams"):
        owned_streams(streams, 0, streams + 1)
