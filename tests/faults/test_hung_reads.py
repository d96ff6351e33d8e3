"""A read that hangs ends the job in one line; nothing waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from damage_cases import write
from job_cases import write_job
from pydantic import TypeAdapter

from recsys.config import DataConfig, Feature, Task
from recsys.data.layout import layout
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics
from recsys.data.synthetic import Spec, generate
from recsys.errors import JobError

LAYOUT = layout(TypeAdapter(list[Feature]).validate_python([{"kind": "id", "name": "row", "buckets": 10**6}]))
CLICK = TypeAdapter(list[Task]).validate_python([{"kind": "binary", "name": "ctr", "label": "click"}])


def reader(folder: Path, **changes: Any) -> Reader:
    config = DataConfig(**{"train": "-", "valid": "-", "batch_size": 8, "streams": 2, "window": 16, "timeout": 1, **changes})
    return Reader([str(folder)], config, LAYOUT, CLICK, Statistics(features={}), rank=1, world_size=2)


def hang(path: Path) -> None:
    """A pipe in the file's place: opening it waits for a writer that never comes."""
    path.unlink()
    os.mkfifo(path)


def let_go(path: Path) -> None:
    """End the reads that hang, so that no thread is left."""
    path.rename(path.with_suffix(".fifo"))
    os.close(os.open(path.with_suffix(".fifo"), os.O_RDWR | os.O_NONBLOCK))


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_the_line_names_rank_file_and_row_group(tmp_path: Path, on_error: str) -> None:
    """It is not skipped either: another try might succeed, and then the ranks would see different data."""
    paths = write(tmp_path, [40, 40], group=10)
    rows = reader(tmp_path, on_error=on_error).epoch(0)
    for path in paths:
        hang(path)
    start = time.monotonic()
    with pytest.raises(JobError, match=r"^rank 1: \S+part-00\d\.parquet, row group \d: nothing came for 1 s \(data\.timeout\)") as caught:
        list(rows)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 10
    for path in paths:
        let_go(path)


def test_closing_does_not_wait_for_a_read_that_hangs(tmp_path: Path) -> None:
    paths = write(tmp_path, [400, 400], group=10)
    rows = reader(tmp_path, timeout=600, prefetch=1).epoch(0)
    next(rows)
    for path in paths:
        hang(path)
    time.sleep(0.2)
    start = time.monotonic()
    rows.close()
    assert time.monotonic() - start < 15
    for path in paths:
        let_go(path)


@pytest.mark.slow
def test_a_job_whose_disk_hangs_ends_and_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    log = tmp_path / "log"
    generate(Spec(rows=6_000, users=300, items=200, days=10, seed=5), log)
    path = write_job(
        log, tmp_path, data={"timeout": 2, "window": 96}, train={"epochs": 400, "checkpoint_every": 5}, evaluate={"every": 10_000}
    )
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "train", str(path), "--nproc", "2"]
    job = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    index = tmp_path / "run" / "checkpoints" / "index.json"
    end = time.monotonic() + 120
    while not index.exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    file, *_ = sorted((log / "split=train").rglob("*.parquet"))
    file.rename(tmp_path / "kept")
    os.mkfifo(file)
    _, told = job.communicate(timeout=90)
    assert job.returncode == 1
    assert told.startswith("failed: rank ") and told.count("\n") == 1 and f"{file}, row group 0: nothing came for 2 s" in told
    file.unlink()
    (tmp_path / "kept").rename(file)
    step = int(json.loads(index.read_text())["latest"].removeprefix("step-"))
    subprocess.run([*command[:-2], "--resume", "--set", f"train.steps={step + 3}"], check=True, timeout=120)


def test_no_worker_is_left() -> None:
    """Those of the hung reads above have ended too, once the reads did."""
    end = time.monotonic() + 10
    while names := [thread.name for thread in threading.enumerate() if thread.name.startswith(("windows", "batches"))]:
        assert time.monotonic() < end, names
        time.sleep(0.1)
