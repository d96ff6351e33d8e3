from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

from recsys.evaluation.duration import ascending_pairs, duration_metrics, errors, spearman, xauc

SECONDS = st.one_of(st.sampled_from([0.0, 1.0, 2.0, 3.0]), st.floats(0, 1e4, width=32))


@st.composite
def timed_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows = draw(st.integers(2, 40))
    return draw(hnp.arrays(np.float32, rows, elements=SECONDS)), draw(hnp.arrays(np.float32, rows, elements=SECONDS))


def heavy_tailed(rows: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    observed = np.where(random.random(rows) < 0.2, 0, np.floor(np.exp(1.5 * random.normal(size=rows)))).astype(np.float32)
    return (np.round(observed * random.random(rows), 1) + random.integers(0, 3, rows)).astype(np.float32), observed


def brute_force_xauc(predicted: np.ndarray, observed: np.ndarray) -> float:
    longer = observed[:, None] > observed[None, :]
    right = (predicted[:, None] > predicted[None, :]) + 0.5 * (predicted[:, None] == predicted[None, :])
    return float(right[longer].mean()) if longer.any() else math.nan


@given(timed_rows())
def test_xauc_is_the_share_of_ordered_pairs(rows: tuple[np.ndarray, np.ndarray]) -> None:
    assert xauc(*rows) == pytest.approx(brute_force_xauc(*rows), abs=1e-12, nan_ok=True)


def test_xauc_on_many_rows_agrees_with_kendall() -> None:
    predicted, observed = heavy_tailed(30_001)
    rows = observed.size
    pairs = rows * (rows - 1) // 2

    def untied(*columns: np.ndarray) -> int:
        sizes = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)[1].astype(np.int64)
        return pairs - int((sizes * (sizes - 1) // 2).sum())

    tau = kendalltau(predicted, observed).statistic  # (concordant - discordant) / sqrt(untied_x * untied_y)
    difference = tau * math.sqrt(untied(predicted)) * math.sqrt(untied(observed))
    # Pairs of different truth: concordant + discordant + tied in the prediction; their share is (1 + difference / pairs) / 2.
    assert xauc(predicted, observed) == pytest.approx(0.5 + difference / (2 * untied(observed)), abs=1e-12)


def test_xauc_of_a_two_valued_truth_is_the_auc() -> None:
    predicted, observed = heavy_tailed(5_000)
    assert xauc(predicted, observed > 1) == pytest.approx(roc_auc_score(observed > 1, predicted), abs=1e-12)


@given(hnp.arrays(np.uint32, st.integers(0, 40), elements=st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1))))
def test_ascending_pairs_are_counted(keys: np.ndarray) -> None:
    assert ascending_pairs(keys) == int(np.triu(keys[:, None] < keys[None, :], 1).sum())


@given(timed_rows())
def test_spearman_equals_scipy(rows: tuple[np.ndarray, np.ndarray]) -> None:
    constant = any((side == side[0]).all() for side in rows)
    expected = math.nan if constant else spearmanr(*rows).statistic
    assert spearman(*rows) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_spearman_equals_scipy_on_many_rows() -> None:
    rows = heavy_tailed(300_000)
    assert spearman(*rows) == pytest.approx(spearmanr(*rows).statistic, abs=1e-12)


@given(timed_rows())
def test_errors_equal_sklearn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    predicted, observed = (side.astype(np.float64) for side in rows)
    found = errors(*rows)
    assert found["mae"] == pytest.approx(mean_absolute_error(observed, predicted), rel=1e-12)
    assert found["rmse"] == pytest.approx(root_mean_squared_error(observed, predicted), rel=1e-12)
    expected = root_mean_squared_error(np.log1p(observed), np.log1p(predicted))
    assert found["rmse_log1p"] == pytest.approx(expected, rel=1e-12)


def test_metrics_of_a_task_worked_out_by_hand() -> None:
    metrics = duration_metrics(np.array([0, 12, 8], np.float32), np.array([0, 8, 12], np.float32), threshold=10.0)
    assert metrics["mae"] == pytest.approx(8 / 3)
    assert metrics["rmse"] == pytest.approx(math.sqrt(32 / 3))
    assert metrics["rmse_log1p"] == pytest.approx(math.sqrt(2 / 3) * math.log(13 / 9))
    assert metrics["spearman"] == pytest.approx(0.5)
    assert metrics["xauc"] == pytest.approx(2 / 3)
    assert (metrics["auc"], metrics["rows"], metrics["positives"]) == (0.5, 3.0, 1.0)


def test_wrong_rows_are_refused_with_their_count() -> None:
    with pytest.raises(ValueError, match="2 of 3 predicted times"):
        errors([math.nan, -1.0, 2.0], [0.0, 0.0, 0.0])
    for metric in (xauc, spearman, errors):
        with pytest.raises(ValueError, match="2 predictions but 1 observations"):
            metric([1.0, 2.0], [1.0])
        with pytest.raises(ValueError, match="1 of 2"):
            metric([1.0, 2.0], [1.0, math.nan])


def test_nothing_to_compare_is_nan() -> None:
    assert math.isnan(xauc([1.0, 2.0], [3.0, 3.0]))
    assert math.isnan(spearman([1.0, 1.0], [3.0, 4.0]))
    assert all(math.isnan(value) for name, value in duration_metrics([], [], 1.0).items() if name not in ("rows", "positives"))
