"""`recsys train` as a person and a machine use it: real processes, a real MLflow store, a real log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from job_cases import write_job
from mlflow import MlflowClient

from pipelines.cli import app, run
from recsys.data.synthetic import Spec, generate

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "small"
    generate(Spec(rows=6_000, users=300, items=200, days=10, seed=3), folder)
    return folder


def command(*arguments: str, launcher: list[str] = RECSYS) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    return subprocess.run([*launcher, *arguments], capture_output=True, text=True, timeout=200, env=environment, check=False)


def in_process(*arguments: str) -> int | str | None:
    """The exit code of a command that ends before any process is started."""
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(list(arguments)))
    return ended.value.code


def test_help_comes_without_torch() -> None:
    answer = command(
        launcher=[sys.executable, "-c", "import sys, pipelines.cli; print([m for m in ('torch', 'mlflow') if m in sys.modules])"]
    )
    assert answer.stdout.strip() == "[]"


def test_two_processes_train_evaluate_and_track_and_one_goes_on(log: Path, tmp_path: Path) -> None:
    path = write_job(log, tmp_path, tracking={"enabled": True, "experiment": "test"}, evaluate={"every": 25, "metric": "ctr/auc"})
    result_file = tmp_path / "out" / "result.json"
    ended = command("train", str(path), "--nproc", "2", "--set", "train.steps=30", "--json", str(result_file))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == "", "a new user is shown nothing that needs no attention"
    result = json.loads(result_file.read_text())
    metrics = result["metrics"]
    for name in ("test/ctr/auc", "test/cvr/auc", "test/dwell/auc", "test/dwell/rmse_log1p", "valid/ctr/auc"):
        assert isinstance(metrics[name], float)
        assert f"{metrics[name]:.4f}" in ended.stdout
    assert result["samples_per_second"] > 0 and result["seconds"] > 0 and result["world_size"] == 2 and result["steps"] == 30
    assert json.loads((Path(result["output"]) / "result.json").read_text()) == result

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("test").experiment_id])
    assert [found.info.run_id for found in runs] == [result["run_id"]], "one run a job, not one a rank"
    recorded = runs[0].data
    assert recorded.metrics["test/ctr/auc"] == metrics["test/ctr/auc"]
    assert [point.step for point in client.get_metric_history(result["run_id"], "ctr/auc")] == [25, 30]
    assert [point.step for point in client.get_metric_history(result["run_id"], "cvr/loss")] == [10, 20, 30]
    weights = sum(recorded.metrics[f"{task}/weight"] for task in ("ctr", "cvr", "dwell"))
    assert weights == pytest.approx(3)
    assert recorded.params["features.user_id.buckets"] == "2000" and recorded.params["mto.alpha"] == "0.5"
    assert recorded.tags["version.torch"] == torch.__version__ and recorded.tags["world_size"] == "2"
    artifacts = {artifact.path for artifact in client.list_artifacts(result["run_id"])}
    assert artifacts >= {"config.yaml", "plan.json", "memory.json", "statistics.json", "_schema.yaml", "figures"}
    planned = tmp_path / "planned.json"
    dry = command("plan", str(path), "--world-size", "2", "--device", "cpu", "--json", str(planned))
    assert dry.returncode == 0, dry.stderr
    dry_run, of_job = json.loads(planned.read_text()), json.loads((Path(result["output"]) / "memory.json").read_text())
    assert dry_run["tables"] == json.loads((Path(result["output"]) / "plan.json").read_text()) == of_job["tables"]
    assert dry_run["ranks"] == of_job["ranks"]
    assert recorded.metrics["plan/memory_largest"] == dry_run["memory_per_rank"]["total"]["max"]

    resumed = command("train", str(path), "--resume", "--set", "train.steps=40", "--json", str(result_file))
    assert resumed.returncode == 0, resumed.stderr
    again = json.loads(result_file.read_text())
    assert again["run_id"] == result["run_id"] and again["steps"] == 40 and again["world_size"] == 1
    assert [point.step for point in client.get_metric_history(result["run_id"], "cvr/loss")] == [10, 20, 30, 40]


def test_torchrun_runs_the_same_job(log: Path, tmp_path: Path) -> None:
    path = write_job(log, tmp_path)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=localhost", "--nproc-per-node=2"]
    settings = ["--set", "train.steps=2", "--set", "mto={strategy: equal}", "--json", str(tmp_path / "r.json")]
    ended = command("-m", "pipelines.train", str(path), *settings, launcher=torchrun)
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "r.json").read_text())["world_size"] == 2


def test_a_bad_label_found_by_one_rank_is_one_line_and_code_2(log: Path, tmp_path: Path) -> None:
    source = next((log / "split=train").rglob("*.parquet"))
    table = pq.read_table(source)
    labels = table["click"].to_pylist()
    labels[len(labels) // 2] = 7
    bad = tmp_path / "bad.parquet"
    pq.write_table(table.set_column(table.schema.get_field_index("click"), "click", pa.array(labels, pa.int8())), bad)
    path = write_job(log, tmp_path, data={"train": str(bad)})
    ended = command("train", str(path), "--nproc", "2")
    assert ended.returncode == 2
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and "bad.parquet" in lines[0] and "click" in lines[0] and "7" in lines[0]


def test_a_loss_that_is_not_finite_is_one_line_and_code_1(log: Path, tmp_path: Path) -> None:
    path = write_job(log, tmp_path, train={"dense": {"learning_rate": 1e30}})
    ended = command("train", str(path))
    assert ended.returncode == 1
    assert (
        ended.stderr.startswith("failed: the loss of ") and "is not finite in step" in ended.stderr and len(ended.stderr.splitlines()) == 1
    )
    assert not (tmp_path / "run" / "checkpoints" / "index.json").exists(), "nothing broken is saved"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("train.epoch=1", "train.epoch is not a known key; did you mean 'epochs'?"),
        ("data.train=nowhere", "nowhere"),
        ("features.age.column=agee", "agee"),
        ("mto.strategy=emtll", "mto: "),
        ("mto.alhpa=0.1", "alpha"),
        ("mto.alpha=7", "alpha must be in [0, 1]"),
        ("mto.groups=[[ctr]]", "mto: groups must name each of ctr, "),
        ("mto.preferences=[1]", "mto: preferences must be a list of "),
        ("evaluate.metric=ctr/acu", "the nearest is 'ctr/auc'"),
        ("train.sharding.tables={item: row_wise}", "item_id"),
        ("tracking={enabled: true, uri: 'http://me:secret@host'}", "password"),
    ],
)
def test_bad_input_is_a_line_an_error_and_code_2(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, expected: str
) -> None:
    path = write_job(log, tmp_path)
    assert in_process("train", str(path), "--set", setting) == 2
    told = capsys.readouterr().err.strip().splitlines()
    # A column that is missing is missing in each split; everything else is told once.
    assert len(told) == (3 if "column" in setting else 1)
    assert all(line.startswith("error: ") and expected in line for line in told)


def test_an_output_that_is_taken_is_refused(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_job(log, tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert in_process("train", str(path)) == 2
    assert "--resume goes on with the run there, --overwrite replaces it" in capsys.readouterr().err
    assert in_process("train", str(path), "--resume", "--overwrite") == 2


@pytest.mark.parametrize("arguments", [["config", "schema"], ["config", "reference"], ["config", "show", "configs/demo.yaml"]])
def test_config_commands_print(arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    assert in_process(*arguments) == 0
    assert len(capsys.readouterr().out) > 1000
