"""What exact metrics and their certainty cost: seconds and memory on a made log of two candidates' scores."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.evaluation.binary import auc
from recsys.evaluation.bootstrap import bootstrap
from recsys.evaluation.delong import compare_aucs
from recsys.evaluation.external import metrics_of_chunks
from recsys.evaluation.external_groups import group_metrics_of_chunks
from recsys.evaluation.groups import group_auc
from recsys.evaluation.weighted import binary_statistic

ROWS_A_USER = 10
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Rows in score files, rows in memory, replicates of the bootstrap."""

    file_rows: int
    rows: int
    replicates: int


@dataclass(frozen=True)
class Measured:
    """What was done with how many rows, in how many seconds and processor seconds; peak: the process's most memory so far, MiB."""

    what: str
    rows: int
    seconds: float
    cpu_seconds: float
    peak: float


def run(settings: Settings, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure all in turn, what needs least memory first; fit for JSON. `tell` hears what is done."""
    measured: list[Measured] = []

    def measure(what: str, rows: int, work: Callable[[], object]) -> object:
        tell(f"{what}, {rows:,} rows")
        seconds, processor = time.perf_counter(), time.process_time()
        result = work()
        spent = time.perf_counter() - seconds, time.process_time() - processor
        measured.append(Measured(what, rows, *spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        return result

    with tempfile.TemporaryDirectory(prefix="scores-") as folder:
        path = Path(folder) / "scores.parquet"
        tell(f"writing {settings.file_rows:,} rows")
        _write(path, settings.file_rows)
        measure("binary metrics from a score file", settings.file_rows, lambda: metrics_of_chunks(_scores(path)))
        metrics = {"gauc": group_auc}
        measure("GAUC from a score file", settings.file_rows, lambda: group_metrics_of_chunks(_scores_of_users(path), metrics))
    rows = settings.rows
    scores, labels, users = _made(rows, rows // ROWS_A_USER + 1, seed=0)
    others = _made(rows, rows // ROWS_A_USER + 1, seed=1)[0]
    ours = measure("AUC in memory", rows, lambda: auc(scores, labels))
    theirs = _sklearn(measure, scores, labels)
    measure("AUC difference by users, DeLong and Obuchowski", rows, lambda: compare_aucs([scores, others], labels, users))
    what = f"bootstrap of 6 metrics of two candidates, {settings.replicates} replicates"
    measure(what, rows, lambda: _resample([scores, others], labels, users, settings.replicates))
    return {
        "rows": [asdict(row) for row in measured],
        "auc_error": None if theirs is None else abs(ours - theirs),  # type: ignore[operator]
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
    }


def _sklearn(measure: Callable[..., Any], scores: NDArray, labels: NDArray) -> float | None:
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError:  # it belongs to the tests
        return None
    return float(measure("AUC in memory, scikit-learn", scores.size, lambda: roc_auc_score(labels, scores)))


def _resample(candidates: list[NDArray], labels: NDArray, users: NDArray, replicates: int) -> object:
    statistics = {number: binary_statistic(scores, labels, users) for number, scores in enumerate(candidates)}
    return bootstrap(statistics, int(users.max()) + 1, replicates, threads=os.cpu_count() or 1)


def _made(rows: int, users: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    scores = (1 / (1 + np.exp(1.5 - random.normal(size=rows)))).astype(np.float32)
    return scores, random.random(rows) < scores, random.integers(0, users, rows)


def _write(path: Path, rows: int) -> None:
    schema = pa.schema({"score": pa.float32(), "label": pa.bool_(), "user": pa.int64()})
    with pq.ParquetWriter(path, schema) as writer:
        for number, start in enumerate(range(0, rows, _CHUNK)):
            columns = _made(min(_CHUNK, rows - start), rows // ROWS_A_USER + 1, seed=number)
            writer.write_table(pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))


def _scores(path: Path) -> Iterator[tuple[NDArray, NDArray]]:
    for batch in pq.ParquetFile(path).iter_batches(_CHUNK, columns=["score", "label"]):
        yield batch["score"].to_numpy(), batch["label"].to_numpy(zero_copy_only=False)


def _scores_of_users(path: Path) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
    for batch in pq.ParquetFile(path).iter_batches(_CHUNK):
        yield batch["score"].to_numpy(), batch["label"].to_numpy(zero_copy_only=False), batch["user"].to_numpy()
