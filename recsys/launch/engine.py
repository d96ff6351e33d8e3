"""What every engine can do with a job."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from recsys.launch.job import Job
from recsys.launch.profile import Profile

State = Literal["queued", "running", "finished", "failed", "cancelled", "lost"]
ENDED: tuple[State, ...] = ("finished", "failed", "cancelled", "lost")


@dataclass(frozen=True)
class Status:
    """How a job stands.

    lost: it ended and nobody noted how, as when the machine went down. detail: why, in a line, where there is more to say. exit_code:
    that of the job's first process, once it ended by itself.
    """

    state: State
    detail: str = ""
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None

    @property
    def over(self) -> bool:
        """Whether the job has come to an end."""
        return self.state in ENDED


class Engine(Protocol):
    """Something that starts jobs and looks after their processes.

    profile: class of its profiles. sees_files: whether its jobs find the files that are here, so that paths can be checked.
    """

    profile: type[Profile]
    sees_files: bool

    def check(self, job: Job) -> None:
        """Raise InputError for a job that this engine can't run."""

    def render(self, job: Job) -> str:
        """Exactly what would be submitted."""

    def submit(self, job: Job) -> str:
        """Submit a job, whose folder is there, and give the engine's id of it. Raises JobError where the engine refuses it."""

    def status(self, job: Job) -> Status:
        """How the job stands now."""

    def logs(self, job: Job, rank: int | None, follow: bool) -> Iterator[str]:
        """The lines that a rank (None: the one that reports) has printed over all attempts, and with `follow` those to come until the
        job's end."""

    def cancel(self, job: Job) -> None:
        """Let the processes save a checkpoint, end them, and return when they are gone or the engine has taken it on."""
