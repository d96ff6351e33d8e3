from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from significance_cases import may_be

from recsys.evaluation.seeds import over_seeds


@pytest.mark.parametrize(
    ("of_seeds", "of_rows", "of_both"),
    [(1.0, 0.05, 0.0), (0.3, 1.0, 0.0), (1.0, 1.0, 0.0), (0.5, 0.5, 0.5)],
    ids=["seeds", "rows", "even", "both"],
)
@pytest.mark.parametrize("seeds", [3, 8])
def test_intervals_hold_the_true_difference(seeds: int, of_seeds: float, of_rows: float, of_both: float) -> None:
    random, trials, held = np.random.default_rng(seeds), 1_000, 0
    for _ in range(trials):
        rows, both = of_rows * random.normal(), of_both * random.normal(size=seeds)
        differences = 0.2 + of_seeds * random.normal(size=seeds) + rows + both
        replicates = differences[:, None] + of_rows * random.normal(size=200) + of_both * random.normal(size=(seeds, 200))
        found = over_seeds(differences, replicates, clusters=10_000).mean
        held += found.low <= 0.2 <= found.high
    assert may_be(held, trials, 0.93, 0.985), held / trials


def test_more_seeds_do_not_shrink_what_the_rows_leave_open() -> None:
    random = np.random.default_rng(0)
    shared = 0.7 * random.normal(size=2_000)
    found = over_seeds(0.01 * random.normal(size=100), np.tile(shared, (100, 1)), clusters=500)
    assert found.rows_deviation == pytest.approx(0.7, rel=0.05)
    assert found.mean.deviation == pytest.approx(found.rows_deviation, rel=1e-3)
    assert found.degrees == pytest.approx(499, rel=1e-3)


def test_without_spread_by_rows_the_interval_is_students() -> None:
    differences = [0.1, 0.3, 0.2, 0.5]
    found = over_seeds(differences, np.tile(np.array(differences)[:, None], 50), clusters=100)
    expected = stats.ttest_1samp(differences, 0)
    assert found.mean.p == pytest.approx(expected.pvalue)
    assert (found.mean.low, found.mean.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.seeds_deviation == pytest.approx(np.std(differences, ddof=1)) and found.rows_deviation < 1e-12


def test_edges() -> None:
    one = over_seeds([0.2], np.random.default_rng(0).normal(size=(1, 100)), clusters=50)
    assert one.mean.value == 0.2 and math.isnan(one.seeds_deviation) and math.isnan(one.mean.low)
    assert over_seeds([0.0, 0.0], np.zeros((2, 100)), clusters=50).mean.p == 1
    with pytest.raises(ValueError, match="3 seeds but replicates of shape"):
        over_seeds([0.1, 0.2, 0.3], np.zeros((2, 10)), clusters=50)
