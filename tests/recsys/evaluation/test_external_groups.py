from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from recsys.evaluation.external_groups import group_metrics_of_chunks
from recsys.evaluation.groups import gauc, group_auc, group_codes, group_ndcg, ndcg_at

METRICS = {"gauc": group_auc, "ndcg@3": partial(group_ndcg, 3)}


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_any_chunks_and_parts_give_what_memory_gives(parts: int, dtype: type) -> None:
    random = np.random.default_rng(0)
    scores = np.round(random.random(20_000), 2).astype(dtype)
    labels = (random.random(scores.size) < scores).astype(np.float32)
    groups = random.integers(-500, 2_000, scores.size) * 2**40
    chunks = zip(*(np.array_split(column, 9) for column in (scores, labels, groups)), strict=True)
    found = group_metrics_of_chunks(chunks, METRICS, parts=parts)
    codes = group_codes(groups)
    for name, expected in (("gauc", gauc(scores, labels, codes)), ("ndcg@3", ndcg_at(3, scores, labels, codes))):
        assert found[name] == pytest.approx(expected, rel=1e-12)
        assert found[name].left_out > 0


def test_edges() -> None:
    assert all(math.isnan(found.value) and found[1:] == (0, 0) for found in group_metrics_of_chunks([], METRICS).values())
    groups = np.array([1, 1])
    with pytest.raises(ValueError, match="1 of 2 numbers are NaN"):
        group_metrics_of_chunks([(np.array([0.1, math.nan]), [0, 1], groups)], METRICS)
    with pytest.raises(ValueError, match="3 scores but 2 groups"):
        group_metrics_of_chunks([([0.1, 0.2, 0.3], [0, 1, 1], groups)], METRICS)
    with pytest.raises(ValueError, match="float64 after others"):
        group_metrics_of_chunks([(np.zeros(2, np.float32), [0, 1], groups), (np.zeros(2), [0, 1], groups)], METRICS)
