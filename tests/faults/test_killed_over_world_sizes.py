"""A job that is killed again and again, and goes on with other numbers of processes, ends where an unbroken one ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from job_cases import write_job

from recsys.data.synthetic import Spec, generate

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def step_of(checkpoints: Path) -> int:
    index = checkpoints / "index.json"
    return int(json.loads(index.read_text())["latest"].removeprefix("step-")) if index.exists() else 0


def run_until_killed(command: list[str], checkpoints: Path, step: int) -> None:
    """Kill all processes of a job at once, at some moment after its checkpoint of `step`."""
    job = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + 240
    while step_of(checkpoints) < step:
        assert job.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.killpg(job.pid, signal.SIGKILL)
    # Workers have sessions of their own; they end when their agent's pipe does, or here.
    subprocess.run(["pkill", "-KILL", "-f", str(checkpoints.parent)], check=False)
    job.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_over_one_two_four_and_one_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    generate(Spec(rows=10_000, users=300, items=200, days=10, seed=5), log)
    changes: dict[str, Any] = {"train": {"epochs": 3, "checkpoint_every": 4}, "evaluate": {"every": 1000}, "model": {"dropout": 0.0}}
    path = write_job(log, tmp_path, **changes)
    whole, pieces = tmp_path / "whole.json", tmp_path / "pieces.json"
    subprocess.run([*RECSYS, "train", str(path), "--output", str(tmp_path / "whole"), "--json", str(whole)], check=True)

    folder, draw = tmp_path / "pieces", np.random.default_rng(3)
    command = [*RECSYS, "train", str(path), "--output", str(folder), "--json", str(pieces)]
    last = json.loads(whole.read_text())["steps"]
    stops = np.sort(draw.choice(np.arange(10, last - 10), 3, replace=False))
    for processes, stop, resume in zip((1, 2, 4), stops, (False, True, True), strict=True):
        run_until_killed([*command, "--nproc", str(processes), *["--resume"] * resume], folder / "checkpoints", int(stop))
    subprocess.run([*command, "--resume"], check=True)

    expected, found = (json.loads(file.read_text()) for file in (whole, pieces))
    assert (found["steps"], found["samples"]) == (expected["steps"], expected["samples"])
    for name, value in expected["metrics"].items():
        assert found["metrics"][name] == pytest.approx(value, rel=2e-3, abs=2e-3), name
