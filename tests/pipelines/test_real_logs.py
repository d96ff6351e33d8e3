"""The quality that the shipped configurations reach on the real public logs, as a mean of three seeds."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean

import pytest

from pipelines.cli import app, run

CONFIGS = Path(__file__).parents[2] / "configs"


def commands(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(list(arguments)))
    assert ended.value.code == 0


def metrics_on_test(data: str, source: Path, folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> dict[str, float]:
    """Mean over seeds of the metrics on the test split."""
    log = folder / data
    commands("prepare", data, "--source", str(source), "--output", str(log))
    splits = [f"--set=data.{split}={log}/split={split}" for split in ("train", "valid", "test")]
    found = []
    for seed in seeds:
        result = folder / f"{seed}.json"
        settings = [*splits, f"--set=run.seed={seed}", "--set=tracking.enabled=false", f"--output={folder}/run-{seed}", f"--json={result}"]
        commands("train", str(CONFIGS / f"{data}.yaml"), *settings)
        found.append(json.loads(result.read_text())["metrics"])
    return {name: mean(metrics[name] for metrics in found) for name in found[0] if name.startswith("test/")}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kuairand(real_data: Path, tmp_path: Path) -> None:
    metrics = metrics_on_test("kuairand", real_data, tmp_path)
    assert metrics["test/ctr/auc"] >= 0.745
    assert metrics["test/cvr/auc"] >= 0.68
    assert metrics["test/dwell/rmse_log1p"] <= 1.19


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_census(real_data: Path, tmp_path: Path) -> None:
    metrics = metrics_on_test("census", real_data, tmp_path)
    assert metrics["test/income/auc"] >= 0.955
    assert metrics["test/never_married/auc"] >= 0.994
