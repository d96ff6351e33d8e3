from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.study.analysis.power import MOST_SEEDS, detectable, seeds_needed

deviations = st.floats(1e-4, 10)


@given(st.floats(0.01, 5), deviations, deviations, st.floats(1e-4, 0.05))
def test_seeds_needed_is_the_first_number_that_is_enough(difference: float, of_seeds: float, of_rows: float, level: float) -> None:
    needed = seeds_needed(difference, of_seeds, of_rows, level)
    if needed is None:
        assert detectable(MOST_SEEDS, of_seeds, of_rows, level) > difference
    else:
        assert detectable(needed, of_seeds, of_rows, level) <= difference
        assert needed == 2 or detectable(needed - 1, of_seeds, of_rows, level) > difference


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_detectable_difference_is_found_in_four_of_five_cases(seeds: int) -> None:
    true = detectable(seeds, 1.0, 0.0, 0.05)
    exact = stats.nct(seeds - 1, true * math.sqrt(seeds))  # power of the t test
    edge = stats.t.ppf(0.975, seeds - 1)
    assert exact.sf(edge) == pytest.approx(0.8, abs=0.04)


def test_no_number_of_seeds_shows_what_the_rows_hide() -> None:
    assert seeds_needed(1.0, 0.1, 0.5, 0.05) is None
    assert seeds_needed(0.0, 0.0, 0.0, 0.05) is None
    assert seeds_needed(math.nan, 1.0, 1.0, 0.05) is None
    assert math.isnan(detectable(1, 1.0, 1.0, 0.05)) and math.isnan(detectable(3, np.nan, 1.0, 0.05))
