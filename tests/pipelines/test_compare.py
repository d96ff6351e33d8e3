"""`recsys compare` with real trainings: killed, resumed, with one that fails, and by two at a time."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from job_cases import write_job
from mlflow import MlflowClient

from pipelines.cli import app
from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError
from recsys.study.child import Child
from recsys.study.folder import StudyFolder
from recsys.study.record import StudyRecord
from recsys.training.job import run_job

# `equal` once more, with a learning rate at which no training survives.
STRATEGIES = "equal,normalized,equal:train.dense.learning_rate=1e30"
pytestmark = pytest.mark.timeout(1200)  # shared cores
FAILING = Child("equal", "mmoe", 0, {"train.dense.learning_rate": 1e30})


@dataclass(frozen=True)
class Killed:
    """A comparison that was killed once its first training was done, and then went on with two at a time."""

    folder: StudyFolder
    config: Path
    uri: str
    at_kill: dict[str, float]
    rival: str
    resumed: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("compare")
    generate(Spec(rows=3_000, users=100, items=50, days=10, seed=2), folder / "log")
    uri = f"sqlite:///{folder}/mlflow.db"
    tracking = {"enabled": True, "uri": uri, "experiment": "small"}
    config = write_job(folder / "log", folder, train={"steps": 12, "checkpoint_every": 4}, tracking=tracking)
    study = StudyFolder(folder / "study")
    options = ["compare", str(config), "--strategies", STRATEGIES, "--seeds", "0", "--output", str(study.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    with subprocess.Popen([*RECSYS, *options], env=environment, stdout=subprocess.DEVNULL) as first:
        try:
            wait_for(lambda: done(study) and study.log("normalized-mmoe-0").exists())
            rival = refused(*options, "--resume")
        finally:
            first.send_signal(signal.SIGKILL)
    at_kill = done(study)
    command = [*RECSYS, *options, "--resume", "--jobs", "2"]
    resumed = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=800, check=False)
    return Killed(study, config, uri, at_kill, rival, resumed)


RECSYS = [sys.executable, "-m", "pipelines"]


def refused(*arguments: str) -> str:
    """What `recsys` says to bad input, in this process."""
    with pytest.raises(InputError) as caught:
        app(arguments, standalone_mode=False)
    return str(caught.value)


def done(study: StudyFolder) -> dict[str, float]:
    """When each child that is done left its result."""
    return {path.parent.name: path.stat().st_mtime for path in study.children.glob("*/result.json")}


def wait_for(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + 500
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def test_a_killed_comparison_goes_on_and_runs_nothing_twice(killed: Killed) -> None:
    assert list(killed.at_kill) == ["equal-mmoe-0"]
    now = done(killed.folder)
    assert set(now) == {"equal-mmoe-0", "normalized-mmoe-0"} and now["equal-mmoe-0"] == killed.at_kill["equal-mmoe-0"]
    assert "done already: 1 of 3 trainings" in killed.resumed.stdout
    logs = [killed.folder.log(name).read_text() for name in now]
    assert all(log.count("best so far") >= 1 and log.count("test split, same checkpoint") == 1 for log in logs)


def test_its_results_are_those_of_each_training_by_hand(killed: Killed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the printed command, in one go and alone."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in done(killed.folder):
        words = shlex.split(json.loads(killed.folder.about(name).read_text())["command"])
        assert words[:3] == ["recsys", "train", str(killed.folder.config)] and words[-2:] == [
            f"--output={killed.folder.run(name)}",
            "--nproc=1",
        ]
        settings = [word.removeprefix("--set=") for word in words if word.startswith("--set=")]
        by_hand = tmp_path / name
        config = load_config(killed.folder.config, [*settings, f"run.output={by_hand}"])
        run_job(config, resume=False, overwrite=False, json_file=None)
        child = killed.folder.run(name)
        assert result(child)["metrics"] == result(by_hand)["metrics"]
        assert ds.dataset(child / "scores").to_table().equals(ds.dataset(by_hand / "scores").to_table())


def test_a_failing_child_is_told_in_its_own_line_and_stops_nothing(killed: Killed) -> None:
    assert killed.resumed.returncode == 1
    log = killed.folder.log(FAILING.name)
    told = [line for line in killed.resumed.stderr.splitlines() if line.startswith("failed: ")]
    assert told[0].startswith(f"failed: {FAILING.name}: failed: the loss of") and told[0].endswith(f"(log: {log})")
    assert told[1].startswith("failed: 1 trainings ended without a result") and len(told) == 2
    record = StudyRecord.load(killed.folder.study)
    assert [failed.child for failed in record.failed] == [FAILING.name]
    findings = json.loads((killed.folder.path / "results.json").read_text())
    assert findings["failed"] == [FAILING.name]


def test_a_folder_that_is_at_work_or_holds_another_study_is_refused(killed: Killed) -> None:
    assert "another comparison (process" in killed.rival
    options = ["compare", str(killed.config), "--strategies", STRATEGIES, "--output", str(killed.folder.path)]
    assert "holds a study; --resume goes on with it" in refused(*options)
    assert "--resume needs the same configuration, but data changed" in refused(*options, "--resume", "--set", "data.batch_size=32")


def test_settings_that_no_training_takes_are_refused_before_any(killed: Killed, tmp_path: Path) -> None:
    compare = ["compare", str(killed.config), "--output", str(tmp_path / "new")]
    assert refused(*compare, "--strategies", "emtl:alpha=7").startswith("emtl alpha=7: alpha must be")
    told = refused(*compare, "--strategies", "equal", "--grid", "train.dense.learning_rate=0.1,-1")
    assert told.startswith("equal, mmoe: train.dense.learning_rate")
    assert not (tmp_path / "new").exists()


def test_mlflow_has_a_parent_and_each_training_once(killed: Killed) -> None:
    client = MlflowClient(killed.uri)
    experiment = client.get_experiment_by_name("small").experiment_id
    parents = client.search_runs([experiment], "tags.`recsys.kind` = 'study'")
    assert len(parents) == 1 and parents[0].info.status == "FINISHED"
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parents[0].info.run_id}'")
    assert sorted(child.info.run_name for child in children) == ["equal, mmoe, seed 0", "normalized, mmoe, seed 0"]
    for child in children:
        name = child.data.tags["child"]
        own = result(killed.folder.run(name))
        assert {"strategy", "setting", "architecture", "seed", "stage", "mto.strategy"} <= set(child.data.params)
        assert child.data.params["strategy"] == name.split("-")[0] and child.data.params["seed"] == "0"
        assert child.data.metrics["test/ctr/auc"] == own["metrics"]["test/ctr/auc"]
        assert abs(child.info.end_time - child.info.start_time - 1000 * own["seconds"]) < 2
        assert client.list_artifacts(child.info.run_id) == []


def test_only_what_is_needed_is_kept_of_a_child(killed: Killed) -> None:
    for name in done(killed.folder):
        run = killed.folder.run(name)
        index = json.loads((run / "checkpoints" / "index.json").read_text())
        assert [path.name for path in (run / "checkpoints").iterdir() if path.is_dir()] == [index["best"]]
        assert not (run / "figures").exists() and not (run / "model").exists()
        assert load_config(run / "config.yaml").run.name == name


def test_help_answers_at_once() -> None:
    code = "import sys, pipelines.cli; print([name for name in ('torch', 'optuna', 'pyarrow', 'mlflow') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
