from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import ndcg_score, roc_auc_score
from torchmetrics.functional.retrieval import retrieval_normalized_dcg, retrieval_recall

from recsys.evaluation.groups import compact, gauc, group_auc, group_codes, group_ndcg, group_recall, ndcg_at, recall_at

Rows = tuple[np.ndarray, np.ndarray, np.ndarray]
SCORES = st.one_of(st.sampled_from([-1.0, -0.0, 0.0, 0.5]), st.floats(-4, 4, width=32))


@st.composite
def grouped_rows(draw: st.DrawFn) -> Rows:
    rows = draw(st.integers(1, 30))
    scores = draw(hnp.arrays(draw(st.sampled_from([np.float32, np.float64])), rows, elements=SCORES))
    labels = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 1)))
    return scores, labels, draw(hnp.arrays(np.int32, rows, elements=st.integers(0, 6)))


def users_log(rows: int = 3_000, users: int = 300, distinct: int = 10**9) -> Rows:
    random = np.random.default_rng(1)
    scores = (random.integers(0, distinct, rows) / distinct).astype(np.float32)
    labels = (random.random(rows) < 0.1 + 0.3 * scores).astype(np.int64)
    return scores, labels, (users * random.random(rows) ** 2).astype(np.int64)


def of_groups(rows: Rows) -> list[tuple[np.ndarray, np.ndarray]]:
    scores, labels, groups = rows
    return [(scores[groups == group], labels[groups == group]) for group in np.unique(groups)]


@given(grouped_rows())
def test_auc_of_every_group_equals_sklearn(rows: Rows) -> None:
    expected = [roc_auc_score(labels, scores) if 0 < labels.sum() < labels.size else math.nan for scores, labels in of_groups(rows)]
    found = group_auc(*rows)
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_array_equal(found.codes, np.unique(rows[2]))
    np.testing.assert_array_equal(found.weights, [labels.size for _, labels in of_groups(rows)])


@pytest.mark.parametrize("distinct", [4, 10**9])
def test_gauc_is_weighted_by_rows_and_counts_whom_it_leaves_out(distinct: int) -> None:
    rows = users_log(distinct=distinct)
    both = [(scores, labels) for scores, labels in of_groups(rows) if 0 < labels.sum() < labels.size]
    expected = np.average([roc_auc_score(labels, scores) for scores, labels in both], weights=[labels.size for _, labels in both])
    found = gauc(*rows)
    assert found.value == pytest.approx(expected, abs=1e-12)
    assert (found.groups, found.left_out) == (len(both), len(of_groups(rows)) - len(both))
    assert found.left_out > 10


@given(grouped_rows(), st.integers(1, 12))
def test_ndcg_of_every_group_equals_sklearn_with_ties(rows: Rows, k: int) -> None:
    found = group_ndcg(k, *rows).values
    for value, (scores, labels) in zip(found, of_groups(rows), strict=True):
        if labels.size > 1 and labels.any():
            assert value == pytest.approx(ndcg_score([labels], [scores], k=k), abs=1e-12)
        else:
            np.testing.assert_equal(value, 1.0 if labels.any() else math.nan)


@given(grouped_rows(), st.integers(1, 12))
def test_recall_of_every_group_is_the_mean_over_the_orders_of_ties(rows: Rows, k: int) -> None:
    def expected(scores: np.ndarray, labels: np.ndarray) -> float:
        if not labels.any():
            return math.nan
        above = np.array([(scores > score).sum() for score in scores])
        tied = np.array([(scores == score).sum() for score in scores])
        return float((labels * np.clip((k - above) / tied, 0, 1)).sum() / labels.sum())

    np.testing.assert_allclose(group_recall(k, *rows).values, [expected(*group) for group in of_groups(rows)], atol=1e-12)


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_without_ties_equals_torchmetrics(k: int) -> None:
    rows = users_log()
    with_positive = [(torch.from_numpy(scores), torch.from_numpy(labels)) for scores, labels in of_groups(rows) if labels.any()]
    recall, ndcg = recall_at(k, *rows), ndcg_at(k, *rows)
    expected = np.mean([float(retrieval_recall(*group, top_k=k)) for group in with_positive])
    assert recall.value == pytest.approx(expected, abs=1e-6)  # torchmetrics counts in float32
    expected = np.mean([float(retrieval_normalized_dcg(*group, top_k=k)) for group in with_positive])
    assert ndcg.value == pytest.approx(expected, abs=1e-6)
    assert recall.groups == ndcg.groups == len(with_positive)


@given(grouped_rows(), st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_groups_do_not_matter(rows: Rows, random: object) -> None:
    order = np.random.default_rng(random.getrandbits(32)).permutation(rows[0].size)  # type: ignore[attr-defined]
    scores, labels, groups = (column[order] for column in rows)
    for metric in (gauc, lambda *columns: ndcg_at(3, *columns), lambda *columns: recall_at(3, *columns)):
        assert metric(scores, labels, group_codes(groups.astype(np.int64) * 10**12)) == pytest.approx(metric(*rows), abs=1e-12, nan_ok=True)


def test_edges() -> None:
    nothing = np.empty(0, np.float32), [], np.empty(0, np.int32)
    for found in (gauc(*nothing), recall_at(3, *nothing), ndcg_at(3, *nothing)):
        assert math.isnan(found.value) and found[1:] == (0, 0)
    one_class = gauc([0.1, 0.2, 0.3], [0, 0, 1], np.array([0, 0, 1]))
    assert math.isnan(one_class.value) and one_class[1:] == (0, 2)
    with pytest.raises(ValueError, match="1 of 2 numbers are NaN"):
        gauc([0.5, math.nan], [0, 1], np.array([0, 0]))
    with pytest.raises(ValueError, match="2 scores but 1 groups"):
        gauc([0.5, 0.6], [0, 1], np.array([0]))
    for code in (-1, 2**40):
        with pytest.raises(ValueError, match="they must be codes"):
            gauc([0.5, 0.6], [0, 1], np.array([0, code]))


@given(hnp.arrays(np.int64, st.integers(0, 20), elements=st.integers(0, 30)))
def test_codes_are_compacted_as_unique_does(codes: np.ndarray) -> None:
    for found, expected in zip(compact(codes), np.unique(codes, return_inverse=True), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_codes_of_any_kind_of_group() -> None:
    np.testing.assert_array_equal(group_codes(pa.chunked_array([["b", "a"], ["b"]])), [0, 1, 0])
    np.testing.assert_array_equal(group_codes([7, -3, 7, 2**40]), [0, 1, 0, 2])
    with pytest.raises(ValueError, match="1 of 2 groups are null"):
        group_codes(pa.array([1, None]))
