from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.evaluation.intervals import minimum_detectable, rows_needed, uncertain
from recsys.evaluation.multiplicity import benjamini_hochberg, holm

P_VALUES = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1)), max_size=12)


@given(st.floats(-3, 3), st.floats(0.01, 10), st.integers(1, 10**6))
def test_p_is_below_5_percent_where_the_interval_leaves_out_the_null(value: float, deviation: float, degrees: int) -> None:
    found = uncertain(value, deviation, degrees)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(value) / deviation, degrees), rel=1e-9)
    assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert found.high - found.low == pytest.approx(2 * stats.t.ppf(0.975, degrees) * deviation)


def test_a_deviation_of_zero() -> None:
    assert uncertain(0.0, 0.0, 10) == (0, 0, 0, 0, 1)
    assert uncertain(0.5, 0.0, 10, null=0.5).p == 1
    assert math.isnan(uncertain(0.1, 0.0, 10).p)
    assert all(math.isnan(number) for number in uncertain(0.1, 0.1, 0)[1:])
    assert math.isnan(uncertain(math.nan, 0.1, 10).low)


def test_the_minimum_detectable_difference_is_found_four_times_in_five() -> None:
    random = np.random.default_rng(0)
    deviation = 0.3
    observed = minimum_detectable(deviation) + deviation * random.normal(size=20_000)
    found = np.mean([uncertain(value, deviation, math.inf).p < 0.05 for value in observed[:4_000]])
    assert stats.binomtest(round(found * 4_000), 4_000, 0.8).pvalue > 1e-3


@given(st.integers(1, 10**8), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_with_the_rows_needed_the_difference_is_the_minimum_detectable_one(rows: int, difference: float, deviation: float) -> None:
    needed = rows_needed(rows, difference, deviation)
    assert minimum_detectable(deviation * math.sqrt(rows / needed)) <= difference * (1 + 1e-9)
    assert needed == rows_needed(rows, -difference, deviation)


def test_rows_needed_of_no_difference() -> None:
    assert rows_needed(100, 0.0, 0.1) == math.inf
    assert math.isnan(rows_needed(100, math.nan, 0.1)) and math.isnan(rows_needed(100, 0.1, math.nan))


@given(P_VALUES)
def test_adjusted_p_values_by_their_definitions(p_values: list[float]) -> None:
    asked = sorted(p for p in p_values if not math.isnan(p))
    count = len(asked)
    by_holm = {p: min(1, max((count - place) * asked[place] for place in range(asked.index(p) + 1))) for p in asked}
    by_fdr = {p: min(1, *(asked[place] * count / (place + 1) for place in range(asked.index(p), count))) for p in asked}
    for found, expected in ((holm(p_values), by_holm), (benjamini_hochberg(p_values), by_fdr)):
        np.testing.assert_allclose(found, [expected.get(p, math.nan) for p in p_values], rtol=1e-12)


def test_corrections_worked_out_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, math.nan, 0.03, 0.005]), [0.03, 0.06, math.nan, 0.06, 0.02])
    np.testing.assert_allclose(benjamini_hochberg([0.01, 0.04, math.nan, 0.03, 0.005]), [0.02, 0.04, math.nan, 0.04, 0.02])
