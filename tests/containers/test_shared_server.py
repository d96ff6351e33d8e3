"""A job and the shared tracking server: accounts, artifacts in S3, refusals, an outage."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from job_cases import write_job

from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError
from recsys.tracking.access import check_access
from recsys.tracking.spool import Spool
from recsys.tracking.tracker import Tracker

shared = pytest.importorskip("shared_server", reason="needs the extras test and server: pip install -e .[test,server]")

pytestmark = pytest.mark.services

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]
PASSWORDS = {"ranking": "Kohlrabi-und-Spargel", "retrieval": "Mangold-und-Rhabarber"}  # by account


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[shared.SharedServer]:
    with shared.shared_server(tmp_path_factory.mktemp("server")) as running:
        with logged_in("admin", running.passwords["MLFLOW_AUTH_ADMIN_PASSWORD"]):
            from mlflow.server import get_app_client

            for account, password in PASSWORDS.items():
                get_app_client("basic-auth", running.uri).create_user(account, password)
        yield running


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "small"
    generate(Spec(rows=6_000, users=300, items=200, days=10, seed=3), folder)
    return folder


def train(config: Path, server: shared.SharedServer, account: str, password: str | None, *options: str) -> subprocess.Popen[str]:
    """A job that finds the server and its account in the environment."""
    variables = shared.without_credentials() | {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": server.uri}
    if password is not None:
        variables |= {"MLFLOW_TRACKING_USERNAME": account, "MLFLOW_TRACKING_PASSWORD": password}
    return subprocess.Popen(
        [*RECSYS, "train", str(config), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables
    )


def write_tracked(log: Path, folder: Path, **sections: dict) -> Path:
    folder.mkdir(exist_ok=True)
    return write_job(log, folder, tracking={"enabled": True, "uri": "", "experiment": "shared"}, **sections)


def test_a_wrong_password_is_refused_in_one_line_before_anything_is_made(server: shared.SharedServer, log: Path, tmp_path: Path) -> None:
    job = train(write_tracked(log, tmp_path), server, "ranking", "Blumenkohl", "--nproc", "2")
    out, told = job.communicate(timeout=200)
    assert (job.returncode, out) == (2, "")
    assert told.count("\n") == 1
    assert told.startswith(f"error: {server.uri}: the MLflow server does not accept these credentials (401); set MLFLOW_TRACKING_USERNAME")
    assert "Blumenkohl" not in told
    assert not (tmp_path / "run").exists()


def test_no_password_is_refused_and_the_right_one_is_not(server: shared.SharedServer) -> None:
    with pytest.raises(InputError, match="does not accept a job without credentials"):
        check_access(server.uri)
    with logged_in("ranking"):
        check_access(server.uri)


def test_a_job_logs_in_survives_an_outage_and_its_artifacts_lie_in_s3(server: shared.SharedServer, log: Path, tmp_path: Path) -> None:
    job = train(write_tracked(log, tmp_path, train={"epochs": 20}, evaluate={"every": 300}), server, "ranking", PASSWORDS["ranking"])
    run = tmp_path / "run"
    wait_for(lambda: any((run / "tracking").glob("*.state.json")) and spool_of(run).sent > 0, job)
    server.kill()
    before = len(list(spool_of(run).records()))
    wait_for(lambda: len(list(spool_of(run).records())) > before + 30, job)  # it goes on without a server
    assert job.poll() is None
    server.start()
    out, told = job.communicate(timeout=200)
    assert job.returncode == 0, told

    with logged_in("ranking"):
        for report in Tracker.replay(run):  # where the server came back later than the job waits for it
            assert report.complete, report.message
        spool = spool_of(run)
        assert (spool.count_pending(), spool.count_refused()) == (0, 0)
        client = client_of(server)
        for key in ("ctr/loss", "cvr/weight", "ctr/auc", "test/ctr/auc"):
            expected = {(record["step"], record["values"][key]) for record in spool.records() if key in record.get("values", {})}
            assert {(point.step, point.value) for point in client.get_metric_history(spool.run_id, key)} == expected and expected
        assert client.get_run(spool.run_id).info.status == "FINISHED"

    kept = {item["Key"]: item["Size"] for item in server.objects().list_objects_v2(Bucket=server.bucket)["Contents"]}
    paths = {key.split(f"{spool.run_id}/artifacts/")[1]: size for key, size in kept.items() if spool.run_id in key}
    assert paths["config.yaml"] == (run / "config.yaml").stat().st_size
    assert {"plan.json", "statistics.json", "model/config.yaml"} <= paths.keys()
    assert any(path.startswith("figures/") or path.endswith("weights.png") for path in paths)

    written = [path for path in [server.log, *tmp_path.rglob("*")] if path.is_file() and path.suffix not in (".distcp", ".parquet")]
    texts = [out, told, *(path.read_text(errors="replace") for path in written)]
    for secret in [*PASSWORDS.values(), *server.passwords.values()]:
        assert not any(secret in text for text in texts)


def test_another_account_logs_to_the_same_experiment(server: shared.SharedServer, tmp_path: Path) -> None:
    with logged_in("retrieval"):
        tracker = Tracker(server.uri, "shared", "second", tmp_path)
        tracker.log_metrics({"loss": 1.0}, 0)
        report = tracker.close()
    assert report.complete, report.message


def spool_of(run: Path) -> Spool:
    return Spool(run / "tracking" / f"{json.loads((run / 'run.json').read_text())['job']}.jsonl")


def client_of(server: shared.SharedServer) -> object:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server.uri)


@contextmanager
def logged_in(account: str, password: str | None = None) -> Iterator[None]:
    """This process as an account of the server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", account)
        patch.setenv("MLFLOW_TRACKING_PASSWORD", password or PASSWORDS[account])
        yield


def wait_for(condition: Callable[[], bool], job: subprocess.Popen[str], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert job.poll() is None and time.monotonic() < deadline, job.communicate()
        time.sleep(0.05)
