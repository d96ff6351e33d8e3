"""What jobs print, from files that grow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from recsys.errors import InputError
from recsys.launch.job import Job

_INTERVAL = 0.5  # seconds between looks at a file that is followed


def agent_file(job: Job) -> Path:
    """What torchrun prints, and processes before they are ranks."""
    return job.logs / "agent.log"


def read_logs(job: Job, rank: int | None, follow: bool, over: Callable[[], bool]) -> Iterator[str]:
    """The lines that a rank wrote to its file, and with `follow` those to come, until `over()`.

    rank: None is rank 0, or what started it where the job ended before that. A line may come in two parts.
    Raises InputError for a rank too high.
    """
    ranks = job.nodes * job.nproc
    if rank is not None and rank >= ranks:
        raise InputError(f"--rank {rank}: {job.name} has ranks 0 to {ranks - 1}")
    return _lines(job, rank, follow, over)


def _lines(job: Job, rank: int | None, follow: bool, over: Callable[[], bool]) -> Iterator[str]:
    path = job.log_file(rank or 0)
    while not path.exists():
        ended = over()
        if ended and rank is None:
            path = agent_file(job)
        if not path.exists() and (ended or not follow):
            return
        time.sleep(_INTERVAL)
    with path.open(errors="replace") as file:
        while True:
            ended = not follow or over()  # asked before reading, so that what was printed before the end is read
            yield from file.readlines()
            if ended:
                return
            time.sleep(_INTERVAL)
