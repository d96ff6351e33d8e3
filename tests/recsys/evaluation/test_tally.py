from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss
from torchmetrics.functional.classification import binary_average_precision

from recsys.evaluation.binary import auc, binary_metrics
from recsys.evaluation.names import BINARY_OFFLINE
from recsys.evaluation.tally import entropy, equal_mass_bins, ranked_metrics, tally

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1, width=32))


@st.composite
def predicted_rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows = draw(st.integers(1, 40))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return draw(hnp.arrays(dtype, rows, elements=PROBABILITIES)), draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)))


def all_metrics(scores: np.ndarray, labels: np.ndarray, bins: int = 15) -> dict[str, float]:
    return ranked_metrics([tally(scores, labels)], scores.size, int(labels.sum()), bins)


def click_log(rows: int, distinct: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(distinct)
    scores = (random.integers(0, distinct, rows) / distinct).astype(np.float32)
    return scores, (random.random(rows) < 0.02 + 0.3 * scores).astype(np.int64)


@given(predicted_rows())
def test_a_tally_counts_every_distinct_score(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = rows
    found = tally(scores, labels)
    np.testing.assert_array_equal(found.scores, np.unique(scores))
    np.testing.assert_array_equal(found.negatives, [((scores == score) & (labels == 0)).sum() for score in found.scores])
    np.testing.assert_array_equal(found.positives, [((scores == score) & (labels == 1)).sum() for score in found.scores])


@given(predicted_rows())
def test_every_metric_of_training_is_found_again(rows: tuple[np.ndarray, np.ndarray]) -> None:
    found, expected = all_metrics(*rows), binary_metrics(*rows)
    assert set(found) == set(BINARY_OFFLINE) and set(expected) < set(found)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-14, nan_ok=True)


@given(predicted_rows())
def test_average_precision_equals_sklearn(rows: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = rows
    expected = average_precision_score(labels, scores) if labels.any() else math.nan
    assert all_metrics(scores, labels)["auprc"] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("distinct", [7, 10**9])
def test_many_rows_equal_sklearn_and_torchmetrics(distinct: int) -> None:
    scores, labels = click_log(100_000, distinct)
    found = all_metrics(scores, labels)
    assert found["auc"] == auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found["auprc"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    with_torch = binary_average_precision(torch.from_numpy(scores.astype(np.float64)), torch.from_numpy(labels)).item()
    assert found["auprc"] == pytest.approx(with_torch, abs=1e-5)  # torchmetrics counts in float32
    wide = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    assert found["log_loss"] == pytest.approx(sklearn_log_loss(labels, wide), rel=1e-12)
    rate = np.full(labels.size, labels.mean())
    assert found["normalized_entropy"] == pytest.approx(sklearn_log_loss(labels, wide) / sklearn_log_loss(labels, rate), rel=1e-12)


def test_calibration_error_equals_sklearns_quantile_bins() -> None:
    scores, labels = click_log(9_000, 10**9)
    observed, predicted = calibration_curve(labels, scores.astype(np.float64), n_bins=15, strategy="quantile")
    bins = equal_mass_bins([tally(scores, labels)], scores.size)
    assert (bins.rows == 600).all()
    np.testing.assert_allclose(bins.positives / bins.rows, observed, atol=1e-12)
    np.testing.assert_allclose(bins.predicted / bins.rows, predicted, atol=1e-12)
    assert all_metrics(scores, labels)["ece"] == pytest.approx(np.abs(observed - predicted).mean(), abs=1e-12)


@given(predicted_rows(), st.integers(1, 8))
def test_calibration_error_keeps_equal_scores_together(rows: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    scores, labels = rows
    middle = np.array([(scores < score).sum() + (scores == score).sum() / 2 for score in scores])
    place = np.floor(middle * bins / scores.size)
    expected = sum(abs((scores[place == b].astype(np.float64) - labels[place == b]).sum()) for b in range(bins)) / scores.size
    assert all_metrics(scores, labels, bins)["ece"] == pytest.approx(expected, abs=1e-12)


@given(predicted_rows(), st.integers(0, 40))
def test_parts_of_a_tally_give_what_the_whole_gives(rows: tuple[np.ndarray, np.ndarray], cut: int) -> None:
    scores, labels = rows
    whole = tally(scores, labels)
    parts = [type(whole)(*(column[:cut] for column in whole)), type(whole)(*(column[cut:] for column in whole))]
    found = ranked_metrics(parts, scores.size, int(labels.sum()))
    assert found == pytest.approx(all_metrics(scores, labels), rel=1e-12, abs=1e-14, nan_ok=True)


def test_edges() -> None:
    empty = ranked_metrics([tally(np.empty(0, np.float32), [])], 0, 0)
    assert all(math.isnan(value) for name, value in empty.items() if name not in ("rows", "positives"))
    negatives = all_metrics(np.array([0.1, 0.2]), np.array([0, 0]))
    assert all(math.isnan(negatives[name]) for name in ("auc", "auprc", "calibration", "normalized_entropy"))
    assert negatives["ece"] == pytest.approx(0.15)
    positives = all_metrics(np.array([0.1, 0.2]), np.array([1, 1]))
    assert positives["auprc"] == 1 and math.isnan(positives["auc"]) and math.isnan(positives["normalized_entropy"])
    with pytest.raises(ValueError, match="must be in"):
        all_metrics(np.array([0.1, 1.2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="1 of 2 numbers are NaN"):
        tally([0.5, math.nan], [0, 1])
    with pytest.raises(ValueError, match="2 rows and 1 positives were tallied, 3 and 1 announced"):
        ranked_metrics([tally([0.5, 0.6], [0, 1])], 3, 1)


def test_entropy() -> None:
    assert entropy(0.5) == pytest.approx(math.log(2))
    assert entropy(0.0) == entropy(1.0) == 0
    assert math.isnan(entropy(math.nan))
