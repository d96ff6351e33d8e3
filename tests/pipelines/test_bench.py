"""`recsys bench` at a tiny size: what it prints and writes. No time is judged."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest


def bench(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "bench", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "120", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    file = tmp_path_factory.mktemp("bench") / "bench.json"
    sizes = ("--batch", 16, "--steps", 3, "--repeats", 3)
    result = bench("mto", "--strategies", "equal,emtl", "--scopes", "representation,parameters", *sizes, "--json", file)
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(file.read_text())


def test_every_strategy_and_scope_has_a_row_beside_the_loops(outcome: tuple[str, dict]) -> None:
    _, written = outcome
    rows = [(row["name"], row["scope"]) for row in written["rows"]]
    expected = [(name, scope) for scope in ("representation", "parameters") for name in ("equal", "emtl")]
    assert rows[:6] == [*expected, ("plain sum", "no fork"), ("K backwards", "loop")]
    torchjd = [row for row in rows if row[0].startswith("torchjd")] or [line for line in written["left_out"] if "not installed" in line]
    assert len(torchjd) == 1


def test_a_row_holds_a_median_within_its_quartiles(outcome: tuple[str, dict]) -> None:
    for row in outcome[1]["rows"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"] < math.inf
        assert 0 < row["cpu_low"] <= row["cpu_ratio"] <= row["cpu_high"] < math.inf
        assert len(row["repeats"]) == 3
        assert min(row["repeats"]) <= row["ratio"] <= max(row["repeats"])
        assert row["milliseconds"] > 0
        assert row["equal"] > 0


def test_what_is_printed_is_what_is_written(outcome: tuple[str, dict]) -> None:
    printed, written = outcome
    for row in written["rows"]:
        assert f"{row['low']:.2f}-{row['high']:.2f}" in printed
        assert f"{row['cpu_ratio']:.3f}" in printed
    for line in written["left_out"]:
        assert line in printed
    conditions = written["conditions"]
    assert (conditions["batch"], conditions["steps"], conditions["repeats"], conditions["processes"]) == (16, 3, 3, 1)
    assert len(conditions["load_before"]) == len(conditions["load_after"]) == 3
    for word in (conditions["cpu"], f"{conditions['threads']} thread(s)", conditions["torch"], f"{conditions['load_after'][0]:.2f}"):
        assert word in printed


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--strategies", "emtll"), "unknown strategy 'emtll'; the nearest is 'emtl'"),
        (("--scopes", "everywhere"), "--scopes: 'everywhere' is none of representation, parameters"),
    ],
)
def test_bad_input_ends_in_one_line(arguments: tuple[str, ...], what: str) -> None:
    result = bench("mto", *arguments)
    assert result.returncode == 2
    assert what in result.stderr
    assert result.stderr.strip().count("\n") == 0


def test_metrics_are_measured_and_equal_sklearns(tmp_path: Path) -> None:
    file = tmp_path / "metrics.json"
    result = bench("metrics", "--file-rows", 30_000, "--rows", 20_000, "--replicates", 5, "--json", file)
    assert result.returncode == 0, result.stderr
    written = json.loads(file.read_text())
    assert [row["rows"] for row in written["rows"]] == [30_000] * 2 + [20_000] * 4
    assert written["auc_error"] < 1e-12
    assert all(row["seconds"] > 0 and row["peak"] > 0 for row in written["rows"])
    assert "GAUC from a score file" in result.stdout and "30,000" in result.stdout


def test_reading_is_measured_beside_the_decoder(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    sizes = ("--rows", 1_500, "--times", 2, "--repeats", 2, "--memory", 4_000)
    result = bench("data", *sizes, "--folder", tmp_path / "made", "--json", file)
    assert result.returncode == 0, result.stderr
    written = json.loads(file.read_text())
    assert (written["rows"], written["columns"], len(written["reader"]), len(written["decoder"])) == (3_000, 40, 2, 2)
    ratios = [own["speed"] / other["speed"] for own, other in zip(written["reader"], written["decoder"], strict=True)]
    assert written["ratio"]["low"] == min(ratios)
    assert written["ratio"]["high"] == max(ratios)
    assert [memory["rows"] for memory in written["memory"]] == [4_500]
    assert all(0 < memory["start"] <= memory["peak"] for memory in written["memory"])
    for word in ("reader / decoder", f"{written['ratio']['median']:.2f}", "3,000 rows, 40 columns", written["conditions"]["cpu"]):
        assert word in result.stdout


def test_training_is_measured_from_parquet_and_on_a_resident_batch(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    sizes = ("--rows", 2_000, "--batch", 256, "--repeats", 1, "--precisions", "float32")
    result = bench("train", *sizes, "--folder", tmp_path / "made", "--json", file)
    assert result.returncode == 0, result.stderr
    written = json.loads(file.read_text())
    shapes = [(own["processes"], own["threads"], own["precision"]) for own in written["layouts"]]
    assert shapes == [*dict.fromkeys([(1, os.cpu_count(), "float32"), (1, 1, "float32")]), (2, 1, "float32")]
    for own in written["layouts"]:
        assert own["ratio"] == pytest.approx(own["parquet"] / own["resident"])
        assert min(own["cpu_parquet"], own["cpu_resident"]) > 0
        assert f"{own['parquet']:,.0f}" in result.stdout
    alone, two = (next(own for own in written["layouts"] if (own["processes"], own["threads"]) == (number, 1)) for number in (1, 2))
    assert written["scaling"][0]["parquet"] == pytest.approx(two["parquet"] / alone["parquet"])
    assert "2 processes / 1 process, one torch thread each, float32" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("data", "--set", "run.seed=1"), "--set changes a --config; give one"),
        (("data", "--memory", "1e6"), "--memory: '1e6' must be whole numbers above 0 with commas between them, such as 1,2"),
        (("train", "--precisions", "float16"), "--precisions: 'float16' is none of float32, bfloat16"),
        (("train", "--data", "nowhere"), "nowhere/split=train"),
    ],
)
def test_what_cannot_be_read_or_trained_ends_in_one_line(arguments: tuple[str, ...], what: str) -> None:
    result = bench(*arguments)
    assert result.returncode == 2
    assert what in result.stderr
    assert result.stderr.strip().count("\n") == 0
