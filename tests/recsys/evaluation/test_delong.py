from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from recsys.evaluation.binary import auc
from recsys.evaluation.delong import compare_aucs

SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5]), st.floats(0, 1, width=32))


@st.composite
def paired_rows(draw: st.DrawFn) -> tuple[list[np.ndarray], np.ndarray]:
    rows = draw(st.integers(4, 25))
    labels = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)).filter(lambda values: 1 < values.sum() < rows - 1))
    return [draw(hnp.arrays(np.float32, rows, elements=SCORES)) for _ in range(2)], labels


def structural_components(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong's V10 of the positives and V01 of the negatives, pair by pair."""
    positive, negative = scores[labels == 1][:, None], scores[labels == 0][None, :]
    kernel = (positive > negative) + 0.5 * (positive == negative)
    return kernel.mean(1), kernel.mean(0)


def delong_covariance(scores: list[np.ndarray], labels: np.ndarray) -> np.ndarray:
    of_positives, of_negatives = zip(*(structural_components(column, labels) for column in scores), strict=True)
    return np.cov(of_positives) / labels.sum() + np.cov(of_negatives) / (labels == 0).sum()


def obuchowski_variance(scores: list[np.ndarray], labels: np.ndarray, clusters: np.ndarray) -> float:
    """Variance of the difference of two AUCs, cluster by cluster as the paper writes it."""
    components = [structural_components(column, labels) for column in scores]
    of_positives, of_negatives = components[1][0] - components[0][0], components[1][1] - components[0][1]
    difference = of_positives.mean()
    names = np.unique(clusters)
    sums = np.array(
        [
            (
                (of_positives[clusters[labels == 1] == name] - difference).sum(),
                (of_negatives[clusters[labels == 0] == name] - difference).sum(),
            )
            for name in names
        ]
    )
    with_positives, with_negatives = (len(np.unique(clusters[labels == label])) for label in (1, 0))
    positives, negatives, count = labels.sum(), (labels == 0).sum(), len(names)
    s10 = with_positives / ((with_positives - 1) * positives) * np.square(sums[:, 0]).sum()
    s01 = with_negatives / ((with_negatives - 1) * negatives) * np.square(sums[:, 1]).sum()
    s11 = count / (count - 1) * (sums[:, 0] * sums[:, 1]).sum()
    return float(s10 / positives + s01 / negatives + 2 * s11 / (positives * negatives))


@given(paired_rows())
def test_deviations_are_those_of_the_structural_components(rows: tuple[list[np.ndarray], np.ndarray]) -> None:
    scores, labels = rows
    covariance = delong_covariance(scores, labels)
    found = compare_aucs(scores, labels)
    expected = [*np.diag(covariance), covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]]
    for uncertain, variance in zip((found.estimate(0), found.estimate(1), found.difference(1, 0)), expected, strict=True):
        if variance > 1e-12:
            assert uncertain.deviation == pytest.approx(math.sqrt(variance), rel=1e-9)
            assert uncertain.low < uncertain.value < uncertain.high
    assert found.aucs.tolist() == [auc(column, labels) for column in scores]
    assert found.difference(1, 0).value == -found.difference(0, 1).value


@given(paired_rows(), st.data())
def test_deviations_with_clusters_are_obuchowskis(rows: tuple[list[np.ndarray], np.ndarray], data: st.DataObject) -> None:
    scores, labels = rows
    clusters = data.draw(hnp.arrays(np.int64, labels.size, elements=st.integers(0, 8)))
    found = compare_aucs(scores, labels, clusters).difference(1, 0)
    if min(len(np.unique(clusters[labels == label])) for label in (0, 1)) < 2:
        assert math.isnan(found.deviation) or found.value == 0
        return
    variance = obuchowski_variance(scores, labels, clusters)
    if variance > 1e-9:
        assert found.deviation == pytest.approx(math.sqrt(variance), rel=1e-6)


def test_many_rows_with_ties_equal_the_structural_components() -> None:
    random = np.random.default_rng(0)
    labels = (random.random(3_000) < 0.1).astype(np.int64)
    scores = [np.round(random.normal(labels, 2), 1) for _ in range(2)]
    covariance = delong_covariance(scores, labels)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    found = compare_aucs(scores, labels).difference(0, 1)
    assert found.deviation == pytest.approx(math.sqrt(variance), rel=1e-12)
    # Welch's degrees of freedom are above 300 - 1: nearly normal.
    assert found.p == pytest.approx(2 * stats.norm.sf(abs(found.value) / found.deviation), rel=0.05)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.deviation, rel=0.01)


def test_equal_candidates_do_not_differ_and_rows_of_one_cluster_count_once() -> None:
    random = np.random.default_rng(1)
    labels = (random.random(400) < 0.3).astype(np.int64)
    scores = [random.normal(labels), random.normal(labels)]
    same = compare_aucs([scores[0], 3 * scores[0]], labels).difference(1, 0)
    assert (same.value, same.deviation, same.low, same.high, same.p) == (0, 0, 0, 0, 1)
    once = compare_aucs(scores, labels).difference(1, 0)
    four_times = compare_aucs([np.tile(column, 4) for column in scores], np.tile(labels, 4), np.tile(np.arange(400), 4)).difference(1, 0)
    assert four_times.deviation == pytest.approx(once.deviation, rel=1e-3)
    assert compare_aucs(scores, labels, np.arange(400)).difference(1, 0) == once


def test_edges() -> None:
    for labels in ([1, 1, 1], [0, 0, 0], []):
        scores = np.arange(len(labels), dtype=np.float32)
        found = compare_aucs([scores, -scores], labels)
        assert all(math.isnan(number) for number in (*found.estimate(0), *found.difference(1, 0)))
    too_few = compare_aucs([[0.1, 0.9, 0.4], [0.2, 0.1, 0.3]], [0, 1, 0]).difference(1, 0)
    assert too_few.value == -1.0 and math.isnan(too_few.deviation) and math.isnan(too_few.p)
    with pytest.raises(ValueError, match="1 of 3 numbers are NaN"):
        compare_aucs([[0.1, math.nan, 0.4]], [0, 1, 0])
    with pytest.raises(ValueError, match="2 scores but 3 labels"):
        compare_aucs([[0.1, 0.4]], [0, 1, 0])
    with pytest.raises(ValueError, match="3 labels but 2 clusters"):
        compare_aucs([[0.1, 0.4, 0.5]], [0, 1, 0], np.array([0, 1]))
