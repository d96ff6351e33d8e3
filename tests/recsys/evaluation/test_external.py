from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.evaluation import external
from recsys.evaluation.binary import auc
from recsys.evaluation.external import SortedRuns, metrics_of_chunks
from recsys.evaluation.tally import ranked_metrics, tally

SCORES = st.one_of(st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0]), st.floats(0, 1, width=32))


def in_memory(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return ranked_metrics([tally(scores, labels)], scores.size, int((labels > 0).sum()))


@given(
    hnp.arrays(st.sampled_from([np.float32, np.float64]), st.integers(0, 60), elements=SCORES),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(1, 20),
    st.integers(1, 4),
    st.data(),
)
def test_any_chunks_and_any_memory_give_what_memory_gives(
    scores: np.ndarray, cuts: list[int], rows_in_memory: int, samples: int, data: st.DataObject
) -> None:
    labels = data.draw(hnp.arrays(np.int64, scores.size, elements=st.integers(0, 1)))
    chunks = zip(*(np.split(column, sorted(min(cut, scores.size) for cut in cuts)) for column in (scores, labels)), strict=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "_SAMPLES", samples)
        found = metrics_of_chunks(chunks, rows_in_memory=rows_in_memory)
    np.testing.assert_equal(found["auc"], auc(scores, labels))
    assert found == pytest.approx(in_memory(scores, labels), rel=1e-12, abs=1e-14, nan_ok=True)


@pytest.mark.parametrize("order", ["shuffled", "sorted", "tied"])
def test_ranges_stay_small_however_the_scores_come(tmp_path: Path, order: str) -> None:
    random = np.random.default_rng(0)
    scores = random.random(300_000).astype(np.float32)
    if order == "sorted":
        scores.sort()
    if order == "tied":
        scores = np.where(random.random(scores.size) < 0.7, np.float32(0.5), scores)
    labels = (random.random(scores.size) < scores).astype(np.float32)
    runs = SortedRuns(tmp_path, rows_in_memory=20_000)
    for start in range(0, scores.size, 7_000):
        runs.add(scores[start : start + 7_000], labels[start : start + 7_000])
    tallies = list(runs.tallies())
    assert (runs.rows, runs.positives) == (scores.size, int(labels.sum()))
    assert all(before.scores[-1] < after.scores[0] for before, after in pairwise(tallies))
    assert max(part.scores.size for part in tallies) < 25_000
    assert sum(int((part.negatives + part.positives).sum()) for part in tallies) == scores.size
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 1.1 * 4 * scores.size
    assert ranked_metrics(tallies, runs.rows, runs.positives) == pytest.approx(in_memory(scores, labels), rel=1e-12)
    assert max(int((part.negatives + part.positives).sum()) for part in tallies if part.scores.size > 1) < 25_000


def test_edges() -> None:
    assert all(math.isnan(value) for name, value in metrics_of_chunks([]).items() if name not in ("rows", "positives"))
    with pytest.raises(ValueError, match="1 of 2 scores are NaN"):
        metrics_of_chunks([(np.array([0.1, math.nan]), [0, 1])])
    with pytest.raises(ValueError, match="2 scores but 1 labels"):
        metrics_of_chunks([(np.array([0.1, 0.2]), [0])])
    with pytest.raises(ValueError, match="float64 after"):
        metrics_of_chunks([(np.array([0.1], np.float32), [0]), (np.array([0.1]), [0])])
    with pytest.raises(ValueError, match="must be in"):
        metrics_of_chunks([(np.array([0.1, 3.0]), [0, 1])])
