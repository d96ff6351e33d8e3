"""Where children run: what a runner asks of a place, and processes of this machine."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from recsys.cores import cores

_PR_SET_PDEATHSIG = 1  # prctl(2)
_libc = ctypes.CDLL(None) if os.uname().sysname == "Linux" else None


@dataclass(frozen=True)
class Work:
    """One child to run. command: with its arguments. log: file for all that it says."""

    name: str
    command: Sequence[str]
    log: Path


class Running(Protocol):
    """A child that was started."""

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def stop(self) -> None:
        """Ask it to end soon, with a checkpoint where it can."""

    def kill(self) -> None:
        """End it at once."""


class Executor(Protocol):
    """A place with room for `slots` children at a time."""

    @property
    def slots(self) -> int: ...

    def start(self, work: Work, slot: int) -> Running:
        """Start a child in one of 0 .. slots - 1, in which none runs."""


class LocalProcesses:
    """Processes of this machine, each slot with its share of the cores and GPUs.

    A child ends with this process, however that ends: it is asked to by the kernel, where that is Linux. held: descriptor that children
    inherit, so that a lock on it is held until the last of them has gone.
    """

    def __init__(self, slots: int, nproc: int, held: int | None = None) -> None:
        self.slots = slots
        self._nproc, self._held = nproc, held

    def start(self, work: Work, slot: int) -> Running:
        """Start the command, its output going into the log."""
        with work.log.open("ab") as log:
            process = subprocess.Popen(
                work.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **gpu_share(slot, self._nproc, gpus(os.environ))},
                pass_fds=() if self._held is None else (self._held,),
                start_new_session=True,  # Ctrl-C goes to this process, which stops its children once
                preexec_fn=partial(_begin, core_share(slot, self.slots, cores())),
            )
        return _Process(process)


class _Process:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        """With the processes that it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def core_share(slot: int, slots: int, cores: Sequence[int]) -> Sequence[int]:
    """The cores of a slot: slots have none in common, unless there are more of them than cores."""
    return cores[slot * len(cores) // slots : (slot + 1) * len(cores) // slots] or [cores[slot % len(cores)]]


def gpu_share(slot: int, nproc: int, gpus: Sequence[str]) -> Mapping[str, str]:
    """The environment of a slot with a GPU a rank; slots share them where there are fewer. Nothing where there is none."""
    if not gpus:
        return {}
    return {"CUDA_VISIBLE_DEVICES": ",".join(dict.fromkeys(gpus[(slot * nproc + rank) % len(gpus)] for rank in range(nproc)))}


def gpus(environment: Mapping[str, str]) -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES of the NVIDIA GPUs that this process may use, found without loading CUDA."""
    if (visible := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name and name != "-1"]
    devices = (path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*"))
    return [str(number) for number in range(sum(name.isdigit() for name in devices))]


def _begin(own: Sequence[int]) -> None:
    """In the child, before it becomes its program."""
    if _libc is not None:
        os.sched_setaffinity(0, own)
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
