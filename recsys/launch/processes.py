"""The processes of this machine that belong to a job."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def processes_with(variable: str, value: str) -> list[int]:
    """Ids of the processes that were started with `variable` as `value`, which all descendants inherit.

    A process id alone may belong to another process by now, or after a reboot; this can't.
    """
    wanted = f"{variable}={value}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # Gone in the meantime, or another user's.
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return sorted(found)


def end_processes(variable: str, value: str, seconds: float) -> None:
    """Ask them to end (SIGTERM), and kill those that are there after `seconds`. Returns when all are gone."""
    _signal_all(processes_with(variable, value), signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while processes_with(variable, value) and time.monotonic() < deadline:
        time.sleep(0.2)
    while left := processes_with(variable, value):  # one may start another meanwhile
        _signal_all(left, signal.SIGKILL)
        time.sleep(0.1)


def _signal_all(processes: list[int], number: signal.Signals) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, number)
