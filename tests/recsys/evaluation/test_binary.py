from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from recsys.evaluation.binary import auc, binary_metrics, calibration, log_loss
from recsys.evaluation.order import from_ordered_bits, ordered_bits, pack, unpack

TINY = float(np.finfo(np.float32).smallest_subnormal)
TIED = [-math.inf, -1.5, -TINY, -0.0, 0.0, TINY, 2 * TINY, 0.25, 0.5, math.inf]
FLOATS = st.one_of(st.sampled_from(TIED), st.floats(width=32, allow_nan=False))


@st.composite
def scored_rows(draw: st.DrawFn, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rows = draw(st.integers(2, 40))
    scores = draw(hnp.arrays(dtype, rows, elements=FLOATS))
    labels = draw(hnp.arrays(np.float32, rows, elements=st.sampled_from([0.0, 1.0])))
    return scores, labels


def brute_force_auc(scores: np.ndarray, labels: np.ndarray) -> float:
    positive, negative = scores[labels > 0][:, None], scores[labels <= 0][None, :]
    if not positive.size or not negative.size:
        return math.nan
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


@given(scored_rows())
def test_auc_is_the_share_of_ordered_pairs(rows: tuple[np.ndarray, np.ndarray]) -> None:
    assert auc(*rows) == pytest.approx(brute_force_auc(*rows), abs=1e-12, nan_ok=True)


@given(scored_rows(np.float64))
def test_auc_of_float64_scores_is_the_share_of_ordered_pairs(rows: tuple[np.ndarray, np.ndarray]) -> None:
    assert auc(*rows) == pytest.approx(brute_force_auc(*rows), abs=1e-12, nan_ok=True)


@given(scored_rows(), st.randoms())
def test_auc_ignores_the_order_of_rows_and_mirrors_with_the_scores(rows: tuple[np.ndarray, np.ndarray], random: object) -> None:
    scores, labels = rows
    order = np.random.default_rng(random.getrandbits(32)).permutation(scores.size)  # type: ignore[attr-defined]
    value = auc(scores, labels)
    np.testing.assert_equal(auc(scores[order], labels[order]), value)
    assert auc(-scores, labels) == pytest.approx(1 - value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("distinct", [2, 50, 10**9])
@pytest.mark.parametrize("rate", [0.004, 0.5])
def test_auc_equals_sklearn_on_many_rows(distinct: int, rate: float) -> None:
    random = np.random.default_rng(distinct)
    scores = (random.integers(0, distinct, 200_000) / distinct).astype(np.float32)
    labels = random.random(scores.size) < rate * (0.5 + scores)
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_auc_of_float64_scores_that_float32_cannot_tell_apart() -> None:
    assert auc(np.array([0.5, 0.5 + 1e-12]), [0, 1]) == 1.0


def test_auc_of_one_class_is_nan_and_nan_scores_are_counted() -> None:
    assert math.isnan(auc([0.1, 0.2], [1, 1]))
    assert math.isnan(auc(np.empty(0, np.float32), []))
    with pytest.raises(ValueError, match="2 of 3 numbers are NaN"):
        auc(np.array([math.nan, 0.5, math.nan], np.float32), [0, 1, 1])
    with pytest.raises(ValueError, match="2 scores but 3 labels"):
        auc([0.1, 0.2], [0, 1, 1])


@given(hnp.arrays(np.float32, st.integers(2, 50), elements=st.floats(2**-20, 1 - 2**-20, width=32)), st.data())
def test_log_loss_equals_sklearn(probabilities: np.ndarray, data: st.DataObject) -> None:
    labels = data.draw(hnp.arrays(np.int64, probabilities.size, elements=st.integers(0, 1)))
    expected = sklearn_log_loss(labels, probabilities.astype(np.float64), labels=[0, 1])
    assert log_loss(probabilities, labels) == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_log_loss_is_finite_where_a_prediction_is_saturated_and_refuses_what_is_no_probability() -> None:
    assert log_loss(np.array([0.0, 1.0], np.float32), [1, 0]) == pytest.approx(-math.log(1e-7), rel=1e-9)
    assert log_loss(np.array([0.0, 1.0], np.float32), [0, 1]) == pytest.approx(1e-7, rel=1e-6)
    assert math.isnan(log_loss([], []))
    with pytest.raises(ValueError, match="3 of 4 probabilities"):
        log_loss([1.5, math.nan, -0.1, 0.5], [0, 1, 0, 1])


def test_calibration_is_predicted_over_observed() -> None:
    assert calibration([0.2, 0.4, 0.6], [0, 0, 1]) == pytest.approx(1.2)
    assert math.isnan(calibration([0.2], [0]))


def test_metrics_of_a_task_worked_out_by_hand() -> None:
    metrics = binary_metrics(np.array([0.5, 0.25, 0.75], np.float32), np.array([1, 0, 1], np.float32))
    assert metrics["auc"] == 1.0
    assert metrics["log_loss"] == pytest.approx(-(math.log(0.5) + 2 * math.log(0.75)) / 3)
    assert metrics["calibration"] == 0.75
    assert (metrics["rows"], metrics["positives"]) == (3.0, 2.0)


@given(hnp.arrays(np.float32, st.integers(2, 30), elements=FLOATS))
def test_ordered_bits_keep_order_and_equality_and_come_back(numbers: np.ndarray) -> None:
    bits = ordered_bits(numbers)
    np.testing.assert_array_equal(bits[:, None] < bits[None, :], numbers[:, None] < numbers[None, :])
    np.testing.assert_array_equal(bits[:, None] == bits[None, :], numbers[:, None] == numbers[None, :])
    np.testing.assert_array_equal(from_ordered_bits(bits), numbers)
    for half in unpack(pack(bits, ~bits)), unpack(pack(~bits, bits))[::-1]:
        np.testing.assert_array_equal(half[0], bits)
        np.testing.assert_array_equal(half[1], ~bits)
