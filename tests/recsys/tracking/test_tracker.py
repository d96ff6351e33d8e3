from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recsys.errors import InputError
from recsys.tracking.spool import Spool
from recsys.tracking.store import checked_uri
from recsys.tracking.tracker import NullTracker, Tracker
from recsys.tracking.worker import Report


def history(uri: str, run_id: str | None, key: str) -> list[tuple[int, float]]:
    points = MlflowClient(tracking_uri=uri).get_metric_history(run_id, key)
    return sorted((point.step, point.value) for point in points)


def test_everything_said_is_in_the_run(uri: str, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("hello")
    before = time.time() * 1000
    tracker = Tracker(uri, "all", "first", tmp_path, params={"seed": 7, "long": "x" * 7000}, tags={"world_size": 2})
    for step in range(1500):
        tracker.log_metrics({"ctr/auc": step / 1500}, step)
    tracker.log_metrics({"odd (%)": math.nan, "ctr/loss": math.inf}, 3)
    tracker.log_params({f"option {number}": number for number in range(250)})
    tracker.log_artifact(note, "notes")
    report = tracker.close(timeout_seconds=60)

    assert report.complete, report.message
    assert report.missing == 0
    run = MlflowClient(tracking_uri=uri).get_run(report.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "first")
    assert history(uri, report.run_id, "ctr/auc") == [(step, step / 1500) for step in range(1500)]
    points = MlflowClient(tracking_uri=uri).get_metric_history(report.run_id, "ctr/auc")
    assert all(before - 1 <= point.timestamp <= time.time() * 1000 for point in points)
    assert math.isnan(run.data.metrics["odd ___"])
    assert len(run.data.params) == 252
    assert run.data.params["seed"] == "7"
    assert len(run.data.params["long"]) == 6000
    assert run.data.tags["world_size"] == "2"
    assert run.data.tags["version.python"].startswith("3.")
    assert {"host", "version.torch", "version.mlflow", "version.pyarrow"} <= run.data.tags.keys()
    assert [file.path for file in MlflowClient(tracking_uri=uri).list_artifacts(report.run_id, "notes")] == ["notes/note.txt"]
    assert json.loads((tmp_path / "run.json").read_text())["run_id"] == report.run_id


KILLED_JOB = """
import os, sys, time
from pathlib import Path
from recsys.tracking.tracker import Tracker
tracker = Tracker(sys.argv[1], "killed", "killed", Path(sys.argv[2]), params={"seed": 0})
for step in range(200):
    tracker.log_metrics({"loss": step}, step)
while sys.argv[3] == "after it has begun to send" and not (tracker.run_id and tracker._spool.sent):
    time.sleep(0.01)
for step in range(200, 400):
    tracker.log_metrics({"loss": step}, step)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("when", ["before it has connected", "after it has begun to send"])
def test_a_killed_job_loses_nothing(uri: str, tmp_path: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_JOB, uri, str(tmp_path), when], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
    with next(tmp_path.glob("tracking/*.jsonl")).open("a") as spool:
        spool.write('{"kind": "metrics", "val')  # as a kill in the middle of a write leaves it

    resumed = Tracker(uri, "killed", "killed", tmp_path, resume=True, params={"seed": 0})
    resumed.log_metrics({"loss": 400.0}, 400)
    report = resumed.close()

    assert report.complete, report.message
    assert history(uri, report.run_id, "loss") == [(step, float(step)) for step in range(401)]
    runs = MlflowClient(tracking_uri=uri).search_runs(
        [MlflowClient(tracking_uri=uri).get_experiment_by_name("killed").experiment_id], f"tags.`recsys.job` = '{job_of(tmp_path)}'"
    )
    assert [(run.info.run_id, run.info.status) for run in runs] == [(report.run_id, "FINISHED")]


def job_of(output: Path) -> str:
    return json.loads((output / "run.json").read_text())["job"]


def test_replay_of_what_has_arrived_already_changes_nothing(uri: str, tmp_path: Path) -> None:
    tracker = Tracker(uri, "again", "again", tmp_path, params={"seed": 0})
    for step in range(50):
        tracker.log_metrics({"loss": step, "nan": math.nan}, step)
    first = tracker.close()
    next(tmp_path.glob("tracking/*.state.json")).unlink()  # as if every acknowledgement had been lost

    (again,) = Tracker.replay(tmp_path)

    assert again.complete, again.message
    assert again.run_id == first.run_id
    assert len(history(uri, first.run_id, "loss")) == len(history(uri, first.run_id, "nan")) == 50
    assert Tracker.replay(tmp_path) == []


def test_a_new_job_in_an_old_folder_gets_a_run_of_its_own_and_a_run_can_be_continued_by_its_id(uri: str, tmp_path: Path) -> None:
    reports: list[Report] = []
    for resume in (False, False, True):
        tracker = Tracker(uri, "folders", "job", tmp_path, resume=resume)
        tracker.log_metrics({"loss": 1.0}, len(reports))
        reports.append(tracker.close())
    elsewhere = Tracker(uri, "folders", "job", tmp_path / "moved", run_id=reports[0].run_id)
    elsewhere.log_metrics({"loss": 1.0}, 9)
    assert elsewhere.close().run_id == reports[0].run_id
    assert reports[0].run_id != reports[1].run_id == reports[2].run_id
    assert [step for step, _ in history(uri, reports[0].run_id, "loss")] == [0, 9]
    assert [step for step, _ in history(uri, reports[1].run_id, "loss")] == [1, 2]


def test_what_the_server_refuses_is_kept_and_said_and_the_rest_arrives(uri: str, tmp_path: Path) -> None:
    Tracker(uri, "refused", "job", tmp_path, params={"seed": 0}).close()
    tracker = Tracker(uri, "refused", "job", tmp_path, resume=True, params={"rate": 1, "seed": 1, "layers": 2})
    tracker.log_artifact(tmp_path / "absent.txt")
    report = tracker.close()
    assert (report.refused, report.pending, report.complete) == (2, 0, False)
    run = MlflowClient(tracking_uri=uri).get_run(report.run_id)
    assert run.data.params == {"seed": "0", "rate": "1", "layers": "2"}
    refused = [json.loads(line) for line in next(tmp_path.glob("tracking/*.refused.jsonl")).read_text().splitlines()]
    assert (refused[0]["key"], refused[0]["value"]) == ("seed", "1")
    assert refused[1]["path"].endswith("absent.txt")
    assert "2 were refused by the server" in report.message


def test_a_count_that_does_not_match_is_said(uri: str, tmp_path: Path) -> None:
    tracker = Tracker(uri, "counts", "job", tmp_path)
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.close()
    spool = Spool(next(tmp_path.glob("tracking/*.jsonl")))
    spool.append("metrics", step=2, values={"loss": 2.0})
    spool.acknowledge(spool.path.stat().st_size, 1, [])  # acknowledged and yet not there
    resumed = Tracker(uri, "counts", "job", tmp_path, resume=True)
    report = resumed.close()
    assert (report.missing, report.complete) == (1, False)
    assert "1 points that the server acknowledged are not there" in report.message


def test_two_processes_do_not_send_the_same_spool(uri: str, tmp_path: Path) -> None:
    spool = Spool.create(tmp_path / "tracking", uri=uri, experiment="two", run_name="job", run_id=None)
    spool.append("metrics", step=1, values={"loss": 1.0})
    with spool.sending():
        (refused,) = Tracker.replay(tmp_path, timeout_seconds=0.1)
    assert (refused.pending, refused.run_id) == (1, None)
    assert "another process is sending" in refused.message
    (report,) = Tracker.replay(tmp_path)
    assert history(uri, report.run_id, "loss") == [(1, 1.0)]


@pytest.mark.parametrize("uri", ["http://me:hunter2@tracking:5000", "postgresql://me:hunter2@db/mlflow", "http://host/?token=hunter2"])
def test_a_uri_with_a_password_is_refused_without_repeating_it(uri: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MLFLOW_TRACKING_PASSWORD") as raised:
        Tracker(uri, "e", "r", tmp_path)
    assert "hunter2" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uri", ["mlruns", "file:///tmp/mlruns", "localhost:5000", "127.0.0.1:5000"])
def test_a_uri_of_no_server_is_refused(uri: str) -> None:
    with pytest.raises(InputError, match="no MLflow server or database"):
        checked_uri(uri)


def test_a_relative_sqlite_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"
    assert checked_uri(f"sqlite:///{tmp_path}/mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"


def test_nothing_of_mlflow_is_imported_by_the_module_and_the_null_tracker_keeps_nothing(tmp_path: Path) -> None:
    code = "import sys, recsys.tracking.tracker; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    tracker = NullTracker()
    tracker.log_metrics({"loss": 1.0}, 1)
    tracker.log_params({"seed": 0})
    tracker.set_tags({"tag": 0})
    tracker.log_artifact(tmp_path)
    assert tracker.close() == tracker.close("FAILED", 0.0)
    assert tracker.run_id is None
