"""A job that is stopped ends at once, says so in one line, and goes on from its last checkpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from job_cases import write_job
from mlflow import MlflowClient

from recsys.data.synthetic import Spec, generate

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def test_sigterm_saves_a_checkpoint_and_closes_the_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    generate(Spec(rows=4_000, users=300, items=200, days=10, seed=5), log)
    path = write_job(log, tmp_path, train={"epochs": 400, "checkpoint_every": 10}, evaluate={"every": 10_000}, tracking={"enabled": True})
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    client.search_experiments()  # makes the tables, which takes longer than a job that is stopped can wait for them
    job = subprocess.Popen([*RECSYS, "train", str(path)], stderr=subprocess.PIPE, text=True)
    wait_for(tmp_path / "run" / "checkpoints" / "index.json", 120)
    while not json.loads((tmp_path / "run" / "run.json").read_text())["run_id"]:  # MLflow takes a while to be there
        time.sleep(0.1)
    job.terminate()
    _, told = job.communicate(timeout=60)
    step = int(json.loads((tmp_path / "run" / "checkpoints" / "index.json").read_text())["latest"].removeprefix("step-"))
    assert (job.returncode, told) == (
        75,
        f"stopped: by SIGTERM at step {step}, whose checkpoint is saved; --resume goes on from it\n",
    )
    run_id = json.loads((tmp_path / "run" / "run.json").read_text())["run_id"]
    assert client.get_run(run_id).info.status == "KILLED"


def ranks_of(agent: int) -> list[int]:
    """Process ids of the workers under `agent`."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(child) for child in children if "pipelines.train" in Path(f"/proc/{child}/cmdline").read_text().split("\0")]


def wait_for(path: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.1)


def test_sigterm_stops_all_ranks_at_the_same_step(tmp_path: Path) -> None:
    log = tmp_path / "log"
    generate(Spec(rows=4_000, users=300, items=200, days=10, seed=5), log)
    path = write_job(log, tmp_path, train={"epochs": 400, "checkpoint_every": 10}, evaluate={"every": 10_000})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen([*RECSYS, "train", str(path), "--nproc", "2"], stderr=subprocess.PIPE, text=True, env=environment)
    index = tmp_path / "run" / "checkpoints" / "index.json"
    wait_for(index, 120)
    job.terminate()
    _, told = job.communicate(timeout=120)
    assert (job.returncode, told) == (75, "stopped: by SIGTERM; --resume goes on from the last checkpoint\n")
    saved = index.parent / json.loads(index.read_text())["latest"]
    assert (saved / "progress.json").exists() and len(list(saved.glob("*.distcp"))) == 2, "both ranks wrote"


def test_a_killed_rank_ends_the_job_in_one_line_and_resume_finishes_it(tmp_path: Path) -> None:
    log, result = tmp_path / "log", tmp_path / "result.json"
    generate(Spec(rows=8_000, users=300, items=200, days=10, seed=5), log)
    path = write_job(log, tmp_path, train={"epochs": 40, "checkpoint_every": 10}, evaluate={"every": 1000})
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen([*RECSYS, "train", str(path), "--nproc", "2"], stderr=subprocess.PIPE, text=True, env=environment)
    wait_for(tmp_path / "run" / "checkpoints" / "index.json", 120)
    os.kill(ranks_of(job.pid)[1], signal.SIGKILL)
    _, told = job.communicate(timeout=60)
    assert job.returncode == 1
    assert told == "failed: rank 1 was killed by SIGKILL (out of memory?); --resume goes on from the last checkpoint\n"

    latest = json.loads((tmp_path / "run" / "checkpoints" / "index.json").read_text())["latest"]
    step = int(latest.removeprefix("step-"))
    command = [*RECSYS, "train", str(path), "--resume", "--set", f"train.steps={step + 5}", "--json", str(result)]
    subprocess.run(command, check=True, env=environment, timeout=120)
    assert json.loads(result.read_text())["steps"] == step + 5
