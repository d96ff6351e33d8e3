"""Under weights, a metric is what it is of rows repeated that often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.evaluation import weighted
from recsys.evaluation.binary import auc
from recsys.evaluation.bootstrap import Statistic, poisson_weights
from recsys.evaluation.concordance import row_pairs
from recsys.evaluation.duration import bucketed_metrics, duration_buckets, duration_metrics, xauc
from recsys.evaluation.groups import GroupValues, gauc, group_auc, group_ndcg, group_recall, ndcg_at, recall_at
from recsys.evaluation.names import BY_DURATION
from recsys.evaluation.tally import ranked_metrics, tally
from recsys.evaluation.weighted import binary_statistic, group_statistic
from recsys.evaluation.weighted_duration import duration_statistic

CLUSTERS = 8
NUMBERS = st.one_of(st.sampled_from([0.0, 0.25, 0.5]), st.floats(0, 1, width=32))
WEIGHTS = hnp.arrays(np.uint8, CLUSTERS, elements=st.integers(0, 4))


@st.composite
def clustered_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows = draw(st.integers(1, 30))
    numbers, others = (draw(hnp.arrays(np.float32, rows, elements=NUMBERS)) for _ in range(2))
    return numbers, others, draw(hnp.arrays(np.int32, rows, elements=st.integers(0, CLUSTERS - 1)))


def by_name(statistic: Statistic, weights: np.ndarray) -> dict[str, float]:
    return dict(zip(statistic.names, statistic(weights), strict=True))


def users_log(rows: int, users: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    scores = np.round(random.random(rows), 4).astype(np.float32)
    seconds = np.round(np.exp(2 * scores + random.normal(size=rows)), 1).astype(np.float32)
    return scores, seconds, random.integers(0, users, rows)


@given(clustered_rows(), WEIGHTS)
def test_binary_metrics(rows: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray) -> None:
    scores, labels, clusters = rows[0], rows[1] > 0.25, rows[2]
    found = by_name(binary_statistic(scores, labels, clusters), weights)
    times = weights[clusters]
    repeated, repeated_labels = np.repeat(scores, times), np.repeat(labels, times)
    expected = ranked_metrics([tally(repeated, repeated_labels)], repeated.size, int(repeated_labels.sum()))
    del expected["ece"], found["ece"], expected["rows"], expected["positives"]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


@given(clustered_rows(), WEIGHTS, st.integers(1, 6))
def test_the_calibration_error_keeps_its_bins(rows: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray, bins: int) -> None:
    scores, labels, clusters = rows[0], rows[1] > 0.25, rows[2]
    middle = np.array([(scores < score).sum() + (scores == score).sum() / 2 for score in scores])
    place = np.floor(middle * bins / scores.size)
    own = weights[clusters].astype(float)
    gaps = [abs((own * (scores.astype(float) - labels))[place == bin_].sum()) for bin_ in range(bins)]
    found = by_name(binary_statistic(scores, labels, clusters, bins), weights)["ece"]
    assert found == pytest.approx(sum(gaps) / own.sum() if own.any() else math.nan, abs=1e-12, nan_ok=True)


@given(clustered_rows(), WEIGHTS)
def test_duration_metrics(rows: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray) -> None:
    seconds, truth, clusters = rows
    found = by_name(duration_statistic(seconds, truth, 0.25, clusters), weights)
    times = weights[clusters]
    expected = duration_metrics(np.repeat(seconds, times), np.repeat(truth, times), 0.25)
    names = ("mae", "rmse", "rmse_log1p", "spearman", "auc")
    assert {name: found[name] for name in names} == pytest.approx({name: expected[name] for name in names}, rel=1e-7, abs=1e-9, nan_ok=True)


@given(clustered_rows())
def test_xauc_is_exact_at_weights_of_one_and_counts_every_rows_pairs(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    seconds, truth, clusters = rows
    found = by_name(duration_statistic(seconds, truth, 0.25, clusters), np.ones(CLUSTERS, np.uint8))["xauc"]
    assert found == pytest.approx(xauc(seconds, truth), abs=1e-12, nan_ok=True)
    counts = row_pairs(seconds, truth)
    sign = np.sign(truth[:, None] - truth) * np.sign(seconds[:, None] - seconds)
    different = truth[:, None] != truth
    np.testing.assert_array_equal(counts.pairs, different.sum(1))
    np.testing.assert_array_equal(counts.twice_concordant, ((sign + 1) * different).sum(1))


@pytest.mark.parametrize("count", [100, 2_500])
def test_xauc_under_weights_is_right_to_the_first_order(count: int) -> None:
    scores, seconds, clusters = users_log(10 * count, count)
    statistic = duration_statistic(np.exp(scores), seconds, 10, clusters)
    exact, linear = [], []
    for replicate in range(40):
        weights = poisson_weights(count, 0, replicate)
        times = weights[clusters]
        exact.append(xauc(np.repeat(scores, times), np.repeat(seconds, times)))
        linear.append(by_name(statistic, weights)["xauc"])
    left_out = np.subtract(linear, exact)
    assert np.std(left_out) < np.std(exact) / math.sqrt(count)
    assert abs(left_out.mean()) < np.std(exact) / math.sqrt(count)
    assert np.std(linear) == pytest.approx(np.std(exact), rel=1 / math.sqrt(count))


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, seconds, clusters = users_log(3_000)
    weights = poisson_weights(500, 0, 0)
    expected = by_name(binary_statistic(scores, seconds > 3, clusters), weights)
    for block in (1, 7, 1_000):
        monkeypatch.setattr(weighted, "BLOCK", block)
        assert by_name(binary_statistic(scores, seconds > 3, clusters), weights) == pytest.approx(expected, rel=1e-12)
    times = weights[clusters]
    assert expected["auc"] == pytest.approx(auc(np.repeat(scores, times), np.repeat(seconds > 3, times)), abs=1e-12)


@given(clustered_rows(), WEIGHTS)
def test_metrics_of_groups(rows: tuple[np.ndarray, np.ndarray, np.ndarray], weights: np.ndarray) -> None:
    scores, labels, groups = rows[0], rows[1] > 0.25, rows[2]
    cluster_of_group = np.array([0, 0, 1, 2, 2, 3, 4, 5])
    times = weights[cluster_of_group][groups]
    # A repeated group is a group of its own each time.
    copies = [
        (scores[groups == group], labels[groups == group]) for group in range(CLUSTERS) for _ in range(weights[cluster_of_group[group]])
    ]
    names = np.repeat(np.arange(len(copies)), [len(copy[0]) for copy in copies]) if copies else np.empty(0, int)
    repeated = [np.concatenate([copy[side] for copy in copies]) if copies else np.empty(0, np.float32) for side in (0, 1)]
    assert names.size == times.sum()
    cases: list[tuple[GroupValues, float]] = [
        (group_auc(scores, labels, groups), gauc(*repeated, names).value),
        (group_recall(2, scores, labels, groups), recall_at(2, *repeated, names).value),
        (group_ndcg(2, scores, labels, groups), ndcg_at(2, *repeated, names).value),
    ]
    for values, expected in cases:
        statistic = group_statistic("metric", values, cluster_of_group[values.codes])
        assert statistic(weights) == pytest.approx((expected,), abs=1e-12, nan_ok=True)


def test_metrics_by_duration_at_weights_of_one_and_of_repeated_rows() -> None:
    scores, seconds, clusters = users_log(3_000)
    predicted = np.exp(scores)
    durations = np.random.default_rng(1).integers(5, 60, 3_000)
    buckets = duration_buckets(durations, 7)
    assert np.bincount(buckets).min() > 300 and len(np.unique(buckets)) == 7
    assert all(len(np.unique(buckets[durations == duration])) == 1 for duration in np.unique(durations))
    statistic = duration_statistic(predicted, seconds, 10, clusters, buckets)
    found = by_name(statistic, np.ones(500, np.uint8))
    expected = bucketed_metrics(predicted, seconds, buckets)
    assert list(expected) == list(BY_DURATION)
    assert {name: found[name] for name in BY_DURATION} == pytest.approx(expected, rel=1e-12)
    weights = poisson_weights(500, 0, 3)
    times = weights[clusters]
    found = by_name(statistic, weights)
    expected = bucketed_metrics(*(np.repeat(column, times) for column in (predicted, seconds, buckets)))
    for name in ("rmse_by_duration", "rmse_log1p_by_duration", "spearman_by_duration"):
        assert found[name] == pytest.approx(expected[name], rel=1e-9)
    assert found["xauc_by_duration"] == pytest.approx(expected["xauc_by_duration"], abs=2e-3)


def test_bucket_means_worked_out_by_hand() -> None:
    predicted, observed = np.array([1.0, 2.0, 5.0, 3.0, 9.0]), np.array([1.0, 3.0, 4.0, 4.0, 5.0])
    found = bucketed_metrics(predicted, observed, np.array([0, 0, 1, 1, 2]))
    assert found["rmse_by_duration"] == pytest.approx((2 * math.sqrt(0.5) + 2 * 1.0 + 1 * 4.0) / 5)
    assert found["xauc_by_duration"] == pytest.approx(1) == found["spearman_by_duration"]  # of the first bucket alone
    assert all(math.isnan(value) for value in bucketed_metrics([], [], np.empty(0, int)).values())
