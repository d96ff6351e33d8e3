"""A job over two hosts ends on both when the network between them goes, goes on when it is back, and ends as on one host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from job_cases import write_job
from test_killed_rank import RECSYS, wait_for
from two_hosts import Host, two_hosts

from recsys.data.synthetic import Spec, generate

pytestmark = pytest.mark.hosts
PORT, TIMEOUT = 29400, 20
VARIABLES = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with two_hosts() as both:
        yield both


Agent = tuple[list[str], Mapping[str, str]]  # its options and environment


@contextmanager
def agents(hosts: Sequence[Host], folder: Path, words: Sequence[str], own: Sequence[Agent]) -> Iterator[list[subprocess.Popen[str]]]:
    """torchrun by hand, once on each host. words: of the trainer.

    A host has half of the cores, so that a rank has as many threads as one of two on this machine: with more, some processors sum up
    otherwise.
    """
    cores = sorted(os.sched_getaffinity(0))
    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
    agent += ["--rdzv-backend", "c10d", "--rdzv-id", "7"]
    jobs = []
    try:
        for place, (host, (options, variables)) in enumerate(zip(hosts, own, strict=True)):
            half = ",".join(map(str, cores[place :: len(hosts)] or cores))
            with (folder / f"{host.name}.out").open("w") as output, (folder / f"{host.name}.err").open("w") as errors:
                command = ["taskset", "--cpu-list", half, *agent, *options, "-m", "pipelines.train", *words]
                jobs.append(host.start(command, {**VARIABLES, **variables}, output, errors))
        yield jobs
    finally:
        for job in jobs:
            # The workers have sessions of their own; they end with their agent's pipe or were ended by it.
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)


@pytest.mark.timeout(1200)
def test_a_pulled_cable_ends_both_sides_and_the_job_goes_on_to_the_same_result(hosts: list[Host], tmp_path: Path) -> None:
    log, result, alone = tmp_path / "log", tmp_path / "result.json", tmp_path / "alone.json"
    generate(Spec(rows=8_000, users=300, items=200, days=10, seed=5), log)
    train = {"epochs": 40, "steps": 200, "checkpoint_every": 20, "timeout": TIMEOUT}
    path = write_job(log, tmp_path, train=train, evaluate={"every": 1000})

    for host in hosts:
        host.knows({other.name: other.address for other in hosts})
    named = [(["--rdzv-endpoint", f"host1:{PORT}"], {})] * 2
    with agents(hosts, tmp_path, [str(path)], named) as jobs:
        wait_for(tmp_path / "run" / "checkpoints" / "index.json", 300)
        hosts[1].plugged(False)
        pulled = time.monotonic()
        codes = [job.wait(timeout=TIMEOUT + 120) for job in jobs]
        took = time.monotonic() - pulled
    assert codes == [1, 1]
    assert took < TIMEOUT + 60
    for rank, host in enumerate(hosts):
        told = [line for line in (tmp_path / f"{host.name}.err").read_text().splitlines() if line.startswith("failed: ")]
        assert len(told) == 1 and told[0].startswith(f"failed: rank {rank} on {host.name} hears nothing more from another rank"), told
        assert f"(train.timeout is {TIMEOUT} s)" in told[0] and told[0].endswith("--resume goes on from the last checkpoint")
    index = json.loads((tmp_path / "run" / "checkpoints" / "index.json").read_text())
    assert 0 < int(index["latest"].removeprefix("step-")) < 200

    # The cable is back, and the hosts' names now lead to themselves, as Debian has it: what the documentation says to set is set.
    hosts[1].plugged(True)
    for host in hosts:
        host.knows({host.name: "127.0.1.1"})
    options = ["--rdzv-endpoint", f"{hosts[0].address}:{PORT}", "--local-addr"]
    own = [([*options, host.address], {"GLOO_SOCKET_IFNAME": host.interface}) for host in hosts]
    own[0][0].extend(["--rdzv-conf", "is_host=1"])
    with agents(hosts, tmp_path, [str(path), "--resume", "--json", str(result)], own) as jobs:
        assert [job.wait(timeout=300) for job in jobs] == [0, 0], (tmp_path / "host1.err").read_text()

    environment = {**os.environ, **VARIABLES}
    command = [*RECSYS, "train", str(path), "--nproc", "2", "--output", str(tmp_path / "alone"), "--json", str(alone)]
    subprocess.run(command, check=True, env=environment, timeout=300, stdout=subprocess.DEVNULL)
    expected, found = (json.loads(file.read_text()) for file in (alone, result))
    assert (found["steps"], found["world_size"]) == (expected["steps"], expected["world_size"]) == (200, 2)
    assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-6)
