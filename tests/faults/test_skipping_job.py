"""A job that skips damage counts it in its result and in MLflow, and its samples are the rows that it trained on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from damage_cases import flip, truncate
from job_cases import write_job
from mlflow import MlflowClient

from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError
from recsys.training.job import run_job


def test_what_is_skipped_is_counted_everywhere(tmp_path: Path) -> None:
    log = tmp_path / "log"
    generate(Spec(rows=3_000, users=100, items=80, days=10, seed=5), log)
    files = {split: sorted((log / f"split={split}").rglob("*.parquet")) for split in ("train", "valid")}
    rows = {split: [pq.read_metadata(file).num_rows for file in files[split]] for split in files}
    truncate(files["train"][0])
    column = pq.read_schema(files["train"][1]).names.index("user_id")
    flip(files["train"][1], column=column)
    flip(files["valid"][0], column=column)
    path = write_job(log, tmp_path, train={"epochs": 2}, tracking={"enabled": True})
    with pytest.raises(InputError, match=r"date=\S+: not a whole parquet file|part-00000\.parquet: not a whole parquet file"):
        run_job(load_config(path), resume=False, overwrite=False, json_file=None)
    settings = ["data.on_error=skip", "data.skip_budget=1"]
    run_job(load_config(path, settings), resume=False, overwrite=True, json_file=None)
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    lost, valid = rows["train"][1], rows["valid"][0]
    assert result["skipped"] == {
        "train": {"rows": {"page": 2 * lost}, "files": {"file": 1}},
        "valid": {"rows": {"page": valid}, "files": {}},
        "test": {"rows": {}, "files": {}},
    }
    assert result["samples"] == 2 * sum(rows["train"][2:])
    metrics = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_run(result["run_id"]).data.metrics
    assert metrics["data/skipped_rows"] == metrics["data/skipped_rows/page"] == 2 * lost
    assert (metrics["data/skipped_files"], metrics["data/valid/skipped_rows"]) == (1, valid)
    with pytest.raises(InputError, match=r"rows were skipped, more than data\.skip_budget 0\.01 permits"):
        run_job(load_config(path, settings[:1]), resume=False, overwrite=True, json_file=None)
