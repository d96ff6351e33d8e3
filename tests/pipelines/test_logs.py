"""`recsys generate` and `recsys prepare`, run as a person runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from recsys.data.schema import Schema


def recsys(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"COLUMNS": "120", "PATH": ""})


def test_generate_writes_a_log_a_table_and_json(tmp_path: Path) -> None:
    result = recsys("generate", "--output", tmp_path / "log", "--rows", 5_000, "--seed", 7, "--json", tmp_path / "log.json")
    assert result.returncode == 0, result.stderr
    assert ds.dataset(tmp_path / "log").count_rows() == 5_000
    described = json.loads((tmp_path / "log.json").read_text())
    assert described.pop("output") == str(tmp_path / "log")
    assert Schema(**described) == Schema.load(tmp_path / "log")
    assert described["seed"] == 7
    for words in ("4,000", "best ctr/auc", f"{described['splits']['test']['best']['cvr/auc']:.4f}"):
        assert words in result.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("generate", "--rows", 0), "rows: must be at least 1"),
        (("prepare", "census", "--source", "nowhere.parquet"), "nowhere.parquet: not found"),
        (("prepare", "kuairand", "--source", "nowhere"), "nowhere: holds neither"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path: Path, arguments: tuple[object, ...], what: str) -> None:
    result = recsys(*arguments, "--output", tmp_path / "log")
    assert result.returncode == 2
    assert what in result.stderr
    assert result.stderr.strip().count("\n") == 0
    assert not (tmp_path / "log").exists()


def test_prepare_census(real_data: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(real_data / "census_income_kdd.parquet").slice(0, 3_000), tmp_path / "part.parquet")
    result = recsys("prepare", "census", "--source", tmp_path / "part.parquet", "--output", tmp_path / "log")
    assert result.returncode == 0, result.stderr
    rows = ds.dataset(tmp_path / "log" / "split=train").count_rows()
    assert f"{rows:,}" in result.stdout
