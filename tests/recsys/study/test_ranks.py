from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from recsys.study.analysis.ranks import alike, critical_difference, rank, whole_part

eighths = st.integers(8, 72).map(lambda number: number / 8)  # exact in binary
tables = st.tuples(st.integers(3, 9), st.integers(3, 7)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 6).map(float))
)


@given(tables)
def test_ranks_and_friedmans_test_are_scipys(values: np.ndarray) -> None:
    found = rank(values)
    expected = np.mean([stats.rankdata(-row) for row in values], axis=0)
    np.testing.assert_allclose(found.mean, expected)
    if all(np.ptp(row) == 0 for row in values):
        assert math.isnan(found.p)
        return
    oracle = stats.friedmanchisquare(*values.T)
    assert (found.statistic, found.p) == (pytest.approx(oracle.statistic), pytest.approx(oracle.pvalue))


@given(tables, st.randoms(use_true_random=False))
def test_the_order_of_entries_and_blocks_does_not_matter(values: np.ndarray, random) -> None:  # noqa: ANN001
    entries, blocks = (random.sample(range(size), size) for size in values.shape[::-1])
    found, turned = rank(values), rank(values[np.ix_(blocks, entries)])
    np.testing.assert_allclose(turned.mean, found.mean[entries])
    assert turned.p == pytest.approx(found.p, nan_ok=True)


def test_the_critical_difference_is_that_of_the_published_table() -> None:
    published = {2: 1.960, 3: 2.343, 5: 2.728, 10: 3.164}  # Demsar 2006, table 5a
    for entries, quantile in published.items():
        assert critical_difference(entries, 14) == pytest.approx(quantile * math.sqrt(entries * (entries + 1) / (6 * 14)), abs=2e-3)


@given(arrays(np.float64, st.integers(1, 9), elements=eighths), eighths.map(lambda number: number / 2))
def test_groups_are_the_largest_that_lie_close_enough(means: np.ndarray, critical: float) -> None:
    def close(members: tuple[int, ...]) -> bool:
        return max(means[list(members)]) - min(means[list(members)]) <= critical

    sets = [frozenset(members) for size in range(2, means.size + 1) for members in combinations(range(means.size), size) if close(members)]
    largest = {members for members in sets if not any(members < other for other in sets)}
    found = alike(means, critical)
    assert {frozenset(members) for members in found} == largest
    assert all(list(means[members]) == sorted(means[members]) for members in found)


def test_of_an_unfinished_study_the_largest_whole_part_is_ranked() -> None:
    present = np.array([[True, True, True], [True, True, False], [True, False, False], [True, True, True]])
    entries, seeds = whole_part(present)
    assert (entries.tolist(), seeds.tolist()) == ([True, True, False, True], [True, True, False])
    entries, seeds = whole_part(np.array([[True, False], [True, False], [True, True]]))
    assert (entries.tolist(), seeds.tolist()) == ([True] * 3, [True, False])
    entries, seeds = whole_part(np.zeros((2, 2), bool))
    assert not entries.any() and not seeds.any()


def test_too_little_to_rank() -> None:
    assert rank(np.array([[3.0, 1.0]])).mean.tolist() == [1, 2] and math.isnan(rank(np.array([[3.0, 1.0]])).p)
    assert rank(np.zeros((0, 3))).blocks == 0
