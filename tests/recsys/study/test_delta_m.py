from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.study.analysis.delta_m import delta_m, log_gain

values = st.floats(0.1, 10)


def test_by_hand() -> None:
    # (.80 - .75) / .75 = 6.667 %, and an error that falls from 1.2 to 1.1 is a gain of 8.333 %: their mean is 7.5 %
    assert delta_m([0.80, 1.1], [0.75, 1.2], [True, False]) == pytest.approx(7.5)
    assert delta_m([0.75, 1.3], [0.75, 1.25], [True, False]) == pytest.approx(-2.0)


@given(st.lists(st.tuples(values, values, st.booleans()), min_size=1, max_size=5))
def test_as_the_paper_writes_it(tasks: list[tuple[float, float, bool]]) -> None:
    expected = 0.0
    for value, reference, higher in tasks:
        sign = (-1) ** (0 if higher else 1)
        expected += sign * (value - reference) / reference / len(tasks) * 100
    model, single, directions = zip(*tasks, strict=True)
    assert delta_m(model, single, directions) == pytest.approx(expected, abs=1e-9)
    assert delta_m(single, single, directions) == 0


def test_any_number_of_runs_at_once_and_none_where_a_task_is_missing() -> None:
    table = np.array([[[0.8, 1.1], [0.8, math.nan]]])
    np.testing.assert_allclose(delta_m(table, [[0.75, 1.2], [0.75, 1.2]], [True, False]), [[7.5, math.nan]])
    assert math.isnan(delta_m([0.1], [0.0], [True]))


@given(st.lists(st.tuples(values, st.floats(-0.01, 0.01), st.booleans()), min_size=1, max_size=5))
def test_gains_differ_by_delta_m_whatever_the_reference(tasks: list[tuple[float, float, bool]]) -> None:
    reference, change, directions = zip(*tasks, strict=True)
    model = np.array(reference) * (1 + np.array(change))
    gained = log_gain(model, directions) - log_gain(reference, directions)
    assert gained == pytest.approx(delta_m(model, reference, directions), abs=0.0052)  # half the square of a per cent


def test_a_task_without_a_value_has_no_gain() -> None:
    assert np.isnan(log_gain([[0.7, math.nan], [0.7, 0.0]], [True, False])).all()
