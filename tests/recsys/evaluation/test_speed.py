from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recsys.evaluation.binary import auc


@pytest.mark.slow
def test_auc_of_ten_million_rows_is_five_times_as_fast_as_sklearn_and_equal() -> None:
    random = np.random.default_rng(0)
    scores = (1 / (1 + np.exp(-1.5 * random.normal(size=10_000_000)))).astype(np.float32)
    labels = random.random(scores.size) < 0.05 + 0.2 * scores

    began = time.perf_counter()
    ours = auc(scores, labels)
    between = time.perf_counter()
    theirs = roc_auc_score(labels, scores)
    ended = time.perf_counter()

    assert ours == pytest.approx(theirs, abs=1e-12)
    assert ended - between >= 5 * (between - began)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_hundred_million_rows_take_less_than_four_gigabytes(tmp_path: Path) -> None:
    sizes = ["--file-rows", "100000000", "--rows", "1000000", "--replicates", "100"]
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "bench", "metrics", *sizes, "--json", str(tmp_path / "out")]
    subprocess.run(command, check=True)
    from_files = json.loads((tmp_path / "out").read_text())["rows"][:2]
    assert [row["rows"] for row in from_files] == [100_000_000] * 2
    assert all(row["peak"] < 4 * 1024 for row in from_files)
