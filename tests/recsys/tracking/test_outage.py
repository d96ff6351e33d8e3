"""A tracking server that goes away and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tracking_server import Server

from recsys.tracking.tracker import Tracker

SHORT_JOB = """
import sys
from pathlib import Path
from recsys.tracking.tracker import Tracker
tracker = Tracker(sys.argv[1], "never", "job", Path(sys.argv[2]))
tracker.log_metrics({"loss": 1.0}, 0)
report = tracker.close("FAILED", timeout_seconds=5)
print(report.run_id, report.pending)
"""


@pytest.fixture
def server(uri: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(uri, tmp_path)
    yield server
    server.kill()


def test_an_outage_loses_nothing_and_blocks_nothing(server: Server, tmp_path: Path) -> None:
    longest = 0.0
    logged = 0

    def log(count: int) -> None:
        nonlocal longest, logged
        for _ in range(count):
            began = time.perf_counter()
            tracker.log_metrics({"loss": 1.0 / (1 + logged), "step": logged}, logged)
            longest = max(longest, time.perf_counter() - began)
            logged += 1

    server.start()
    tracker = Tracker(server.uri, "outage", "job", tmp_path / "out", params={"seed": 0})
    log(100)
    wait_until(lambda: tracker._spool.sent > 0)
    server.kill()
    for _ in range(20):
        log(20)
        time.sleep(0.1)
    began = time.monotonic()
    away = tracker.close(timeout_seconds=1.0)
    assert time.monotonic() - began < 3
    assert away.pending >= 800
    assert f"{away.pending} wait in {tmp_path}/out/tracking/" in away.message
    assert f"Tracker.replay('{tmp_path}/out')" in away.message
    assert longest < 0.5  # a call to the dead server would have taken longer; what is left is other work on the machine

    server.start()
    note = tmp_path / "note.txt"
    note.write_text("hello")
    tracker = Tracker(server.uri, "outage", "job", tmp_path / "out", resume=True)
    tracker.log_artifact(note)
    log(10)
    report = tracker.close()

    assert report.complete, report.message
    assert report.missing == 0
    assert report.run_id == away.run_id
    client = MlflowClient(tracking_uri=server.uri)
    steps = [point.step for point in client.get_metric_history(report.run_id, "loss")]
    assert sorted(steps) == list(range(logged))
    assert client.get_run(report.run_id).info.status == "FINISHED"
    assert [file.path for file in client.list_artifacts(report.run_id)] == ["note.txt"]


@pytest.mark.parametrize("listening", [False, True])
def test_a_server_that_is_dead_or_never_answers_costs_a_job_only_the_time_it_grants(tmp_path: Path, listening: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        command = [sys.executable, "-c", SHORT_JOB, f"http://127.0.0.1:{silent.getsockname()[1]}", str(tmp_path)]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert time.monotonic() - began < 20  # the import of MLflow included; its own timeout is 30 s a call
    run_id, pending = done.stdout.split()
    assert (run_id, int(pending) >= 2) == ("None", True)
    assert done.stderr.count("\n") <= 1


def wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)
