"""Slots of a machine, and one comparison a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import InputError
from recsys.study import lock
from recsys.study.executor import LocalProcesses, Work, core_share, gpu_share, gpus
from recsys.study.lock import locked


@given(st.integers(1, 64), st.integers(1, 40))
def test_cores_are_shared_out(cores: int, slots: int) -> None:
    shares = [list(core_share(slot, slots, range(cores))) for slot in range(slots)]
    assert all(shares) and {core for share in shares for core in share} == set(range(cores))
    if slots <= cores:
        assert sum(map(len, shares)) == cores and max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4))
def test_gpus_are_shared_out(devices: int, slots: int, nproc: int) -> None:
    names = [str(number) for number in range(devices)]
    shares = [gpu_share(slot, nproc, names)["CUDA_VISIBLE_DEVICES"].split(",") for slot in range(slots)]
    assert all(len(share) == min(nproc, devices) for share in shares)
    if slots * nproc <= devices:
        assert len({name for share in shares for name in share}) == slots * nproc
    assert gpu_share(0, nproc, []) == {}


def test_gpus_that_are_hidden_are_not_used() -> None:
    assert gpus({"CUDA_VISIBLE_DEVICES": "3,5"}) == ["3", "5"] and gpus({"CUDA_VISIBLE_DEVICES": ""}) == []


def test_a_child_has_its_cores_and_its_log(tmp_path: Path) -> None:
    work = Work("a", [sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0))); raise SystemExit(3)"], tmp_path / "log")
    running = LocalProcesses(1, 1).start(work, 0)
    while running.poll() is None:
        time.sleep(0.02)
    assert running.poll() == 3 and work.log.read_text().strip() == str(sorted(os.sched_getaffinity(0)))


def test_a_child_that_does_not_listen_is_killed_with_its_own(tmp_path: Path) -> None:
    deaf = "import signal, subprocess, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); p = subprocess.Popen(['sleep', '60']); "
    work = Work("a", [sys.executable, "-c", deaf + "print(p.pid, flush=True); time.sleep(60)"], tmp_path / "log")
    running = LocalProcesses(1, 1).start(work, 0)
    while not work.log.read_text():
        time.sleep(0.02)
    running.stop()
    assert running.poll() is None
    running.kill()
    assert running.poll() == -9
    deadline = time.monotonic() + 30  # the signal is sent, but the system takes its time
    while is_alive(int(work.log.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Whether it is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_folder_is_held_by_one_comparison(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match=f"another comparison .process {holder.pid}. is at work"), locked(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        pass


def test_children_of_a_killed_comparison_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The holder is gone, but its child still has the descriptor."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path), "1"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    started = time.monotonic()
    with locked(tmp_path):
        assert time.monotonic() - started > 0.3
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with locked(tmp_path):
        pass


HOLD = """
import subprocess, sys, time
from pathlib import Path
from recsys.study.lock import locked
with locked(Path(sys.argv[1])) as held:
    if sys.argv[2:]:
        subprocess.Popen(["sleep", sys.argv[2]], pass_fds=(held,))
    print("held", flush=True)
    time.sleep(60)
"""
