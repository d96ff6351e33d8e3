"""Scores: the same with any number of processes, and those that the training measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from offline_jobs import Trained
from rich.console import Console
from sklearn.metrics import roc_auc_score

from recsys.errors import InputError
from recsys.offline import rows as rows_module
from recsys.offline.request import Request, Scored
from recsys.offline.scoring import score
from recsys.training.launcher import launch


def models(trained: Trained) -> list[Scored]:
    return [Scored(name=name, kind="model", path=trained.run(name)) for name in ("emtl", "equal")]


@pytest.fixture(scope="module")
def scored(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Request:
    request = trained.request(tmp_path_factory.mktemp("scored"), *models(trained))
    score(request, Console(quiet=True))
    return request


def table_of(request: Request) -> pa.Table:
    return ds.dataset(request.scores).to_table()


def test_scores_are_those_that_training_measured(trained: Trained, scored: Request) -> None:
    table = table_of(scored)
    for name in ("emtl", "equal"):
        measured = trained.result(name)["metrics"]
        for task in scored.tasks:
            valid = table[f"valid/{task.name}"].to_numpy()
            label, scores = (table[column].to_numpy()[valid] for column in (f"label/{task.name}", f"score/{name}/{task.name}"))
            positive = label > (0 if task.kind == "binary" else task.threshold)
            assert valid.sum() == measured[f"test/{task.name}/rows"]
            assert roc_auc_score(positive, scores) == pytest.approx(measured[f"test/{task.name}/auc"], abs=1e-12)


def test_scores_kept_by_training_are_those(trained: Trained, scored: Request) -> None:
    """With the user's column, row by row; and the files are the same whatever the number of ranks, as those of any scoring."""
    table = table_of(scored)
    for name in ("emtl", "equal"):
        about = trained.result(name)["scores"]
        assert about == {"folder": "scores", "run": "run", "user": "user_id"}
        kept = ds.dataset(trained.run(name) / about["folder"]).to_table()
        assert set(kept.column_names) == {"file", "row", "log/user_id"} | {
            f"{what}/{task.name}" for task in scored.tasks for what in ("label", "valid", "score/run")
        }
        for column in kept.column_names:
            assert kept[column].equals(table[column.replace("score/run", f"score/{name}")]), column


def test_rows_are_those_of_the_log(trained: Trained, scored: Request) -> None:
    table = table_of(scored)
    assert {path.name for path in scored.scores.iterdir()} == {"part-00000.parquet"} and not scored.scratch.exists()
    for name in set(table["file"].to_pylist()):
        own = table.filter(pa.compute.equal(table["file"], name))
        log = pq.read_table(next(Path(trained.test).rglob(name.rpartition("/")[2])) if "/" not in name else Path(trained.test) / name)
        assert own["row"].to_pylist() == list(range(log.num_rows))
        assert own["log/user_id"].to_pylist() == log["user_id"].to_pylist()
        assert own["label/ctr"].to_pylist() == log["click"].to_pylist()


def test_two_processes_write_the_same_files(trained: Trained, scored: Request, tmp_path: Path) -> None:
    request = scored.model_copy(update={"output": tmp_path / "two"})
    path = tmp_path / "request.json"
    path.write_text(request.model_dump_json())
    launch("pipelines.score", [str(path)], 3)
    one, two = table_of(scored), table_of(request)
    assert one.schema == two.schema
    for name in one.schema.names:
        if name.startswith("score/"):
            np.testing.assert_allclose(two[name].to_numpy(), one[name].to_numpy(), rtol=2e-6, err_msg=name)
        else:
            assert one[name].equals(two[name]), name


def test_parts_of_any_size_hold_the_same_rows(trained: Trained, scored: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "PART_ROWS", 700)
    request = scored.model_copy(update={"output": tmp_path})
    score(request, Console(quiet=True))
    assert len(list(request.scores.iterdir())) == -(-table_of(scored).num_rows // 700)
    assert table_of(request).equals(table_of(scored))


def given(scored: Request, path: Path, order: np.ndarray | None = None, **changes: object) -> Path:
    """Somebody's file with the scores of `emtl`."""
    table = table_of(scored)
    columns = {"file": table["file"], "row": table["row"]}
    columns |= {task.name: table[f"score/emtl/{task.name}"] for task in scored.tasks} | {"label/ctr": table["label/ctr"]} | changes
    whole = pa.table(columns)
    pq.write_table(whole if order is None else whole.take(order), path)
    return path


def test_a_file_of_scores_is_read_in_any_order(scored: Request, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(table_of(scored).num_rows)
    theirs = Scored(name="theirs", kind="scores", path=given(scored, tmp_path / "theirs.parquet", order))
    request = scored.model_copy(update={"output": tmp_path / "out", "runs": [theirs]})
    score(request, Console(quiet=True))
    for task in scored.tasks:
        assert table_of(request)[f"score/theirs/{task.name}"].equals(table_of(scored)[f"score/emtl/{task.name}"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: {"order": np.arange(1, table.num_rows)}, "1 have no scores"),
        (lambda table: {"order": np.array([0, *range(table.num_rows)])}, "1 have several"),
        (lambda table: {"row": pa.array([10**7] * table.num_rows)}, "rows count from 0"),
        (lambda table: {"file": pa.array(["elsewhere.parquet"] * table.num_rows)}, "is no file of the log"),
        (lambda table: {"ctr": pa.array([1.5] * table.num_rows)}, "probabilities in \\[0, 1\\]"),
        (lambda table: {"ctr": pa.array([None] * table.num_rows, pa.float32())}, "have no score"),
        (lambda table: {"label/ctr": pa.array(1 - table["label/ctr"].to_numpy())}, "its labels differ from column 'click'"),
    ],
)
def test_a_file_of_other_rows_labels_or_numbers_is_refused(
    scored: Request, tmp_path: Path, spoil: Callable[[pa.Table], dict], message: str
) -> None:
    theirs = Scored(name="theirs", kind="scores", path=given(scored, tmp_path / "theirs.parquet", **spoil(table_of(scored))))
    request = scored.model_copy(update={"output": tmp_path / "out", "runs": [theirs]})
    with pytest.raises(InputError, match=message):
        score(request, Console(quiet=True))
