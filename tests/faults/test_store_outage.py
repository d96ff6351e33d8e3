"""A job on a store: the same as on local files while the store stumbles, one line when it is gone, resumed when it is back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from job_cases import write_job
from s3_store import Proxy, environment, s3_server
from test_killed_rank import wait_for

from recsys.data.synthetic import Spec, generate

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]
REMOTE = {split: f"s3://logs/small where split = {split}" for split in ("train", "valid", "test")} | {
    "store": {"attempts": 4, "timeout": 5}
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "small"
    generate(Spec(rows=4_000, users=300, items=200, days=10, seed=3), folder)
    return folder


@pytest.fixture(scope="module")
def proxy(log: Path) -> Iterator[Proxy]:
    with s3_server() as server:
        server.upload(log, "logs/small")
        proxy = Proxy(server)
        yield proxy
        proxy.close()


def train(path: Path, proxy: Proxy, *options: str) -> subprocess.Popen[str]:
    variables = {**os.environ, "OMP_NUM_THREADS": "1", **environment(proxy.address)}
    return subprocess.Popen(
        [*RECSYS, "train", str(path), *options], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables
    )


def test_a_job_on_a_store_that_stumbles_equals_the_local_one(log: Path, proxy: Proxy, tmp_path: Path) -> None:
    metrics = []
    proxy.fault = lambda method, path: 503 if len(proxy.requests) % 20 == 3 else None
    for name, data in (("local", {}), ("remote", REMOTE)):
        (tmp_path / name).mkdir()
        job = train(write_job(log, tmp_path / name, data=data, train={"steps": 10}), proxy)
        _, told = job.communicate(timeout=200)
        assert (job.returncode, told) == (0, "")
        metrics.append(json.loads((tmp_path / name / "run" / "result.json").read_text())["metrics"])
    assert metrics[0] == metrics[1]
    assert len(proxy.requests) > 20
    statistics = [(tmp_path / name / "run" / "statistics.json").read_text() for name in ("local", "remote")]
    assert statistics[0] == statistics[1]


@pytest.mark.slow
def test_a_job_whose_store_is_gone_ends_in_one_line_and_goes_on_when_it_is_back(log: Path, proxy: Proxy, tmp_path: Path) -> None:
    proxy.fault = lambda method, path: None
    data = REMOTE | {"store": {"attempts": 2, "timeout": 1}}
    path = write_job(log, tmp_path, data=data, train={"epochs": 400, "checkpoint_every": 10}, evaluate={"every": 10_000})
    job = train(path, proxy, "--nproc", "2")
    wait_for(tmp_path / "run" / "checkpoints" / "index.json", 120)
    proxy.fault = lambda method, path: "cut"
    _, told = job.communicate(timeout=120)
    assert job.returncode == 1
    assert told.startswith("failed: s3://logs/small/split=train/") and "the store doesn't answer" in told and told.count("\n") == 1
    step = int(json.loads((tmp_path / "run" / "checkpoints" / "index.json").read_text())["latest"].removeprefix("step-"))
    proxy.fault = lambda method, path: None
    job = train(path, proxy, "--resume", "--set", f"train.steps={step + 5}")
    assert job.communicate(timeout=120)[1] == "" and job.returncode == 0
    assert json.loads((tmp_path / "run" / "result.json").read_text())["steps"] == step + 5
