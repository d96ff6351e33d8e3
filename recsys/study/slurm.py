"""The children of a study as elements of Slurm's arrays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recsys.errors import JobError
from recsys.files import write_whole
from recsys.launch.engine import Status
from recsys.launch.slurm_array import array_statuses, cancel_array, submit_array
from recsys.launch.slurm_client import Refused, slurm
from recsys.launch.slurm_profile import SlurmProfile
from recsys.study.executor import Running, Work

_LOOKS_EVERY = 2.0  # seconds between questions to Slurm about one array
_STOPPED = 130
_ID = "id"
_INTO_LOG = ("bash", "-c", 'exec >> "$0" 2>&1; exec "$@"')  # then the log and the command


class SlurmArrays:
    """Submits the children that are to start together as one array, of which `at_once` run at a time.

    folder: keeps a folder for each array, and is seen by every machine. What an earlier process left there, killed before it could end it,
    is ended first, so that no child runs twice.
    """

    slots = 1000  # children wait for Slurm, not for a slot of ours

    def __init__(self, name: str, profile: SlurmProfile, folder: Path, at_once: int) -> None:
        self._name, self._profile, self._folder, self._at_once = name, profile, folder.absolute(), at_once
        self._waiting: list[_Child] = []
        self._arrays = len(list(self._folder.glob(f"*/{_ID}")))
        for path in self._folder.glob(f"*/{_ID}"):
            _end(path.read_text())

    def start(self, work: Work, slot: int) -> Running:
        """Take a child into the next array, which is submitted once the first of its children is asked how it stands."""
        child = _Child(work, self)
        self._waiting.append(child)
        return child

    def submit(self) -> None:
        """Submit the array of those that wait."""
        children = [child for child in self._waiting if not child.stopped]
        self._waiting = []
        if not children:
            return
        place = self._folder / str(self._arrays)
        self._arrays += 1
        commands = [[*_INTO_LOG, str(child.work.log.absolute()), *_going_on(child.work.command)] for child in children]
        array = _Array(submit_array(self._name, self._profile, commands, self._at_once, place), len(children), place)
        write_whole(place / _ID, array.number)
        for position, child in enumerate(children):
            child.array, child.position = array, position


class _Array:
    """An array that was submitted, and how its elements stood when they were last looked at."""

    def __init__(self, number: str, elements: int, folder: Path) -> None:
        self.number = number
        self._elements, self._folder = elements, folder
        self._found = [Status("queued")] * elements
        self._looked = 0.0

    def status(self, position: int) -> Status:
        """Of an element. A controller that is away for a while has no news."""
        if time.monotonic() - self._looked > _LOOKS_EVERY:
            with suppress(JobError):
                self._found = array_statuses(self.number, self._elements, self._folder)
            self._looked = time.monotonic()
        return self._found[position]


class _Child:
    """A child, with its place in an array once that is submitted."""

    def __init__(self, work: Work, executor: SlurmArrays) -> None:
        self.work = work
        self.stopped = False
        self.array: _Array | None = None
        self.position = 0
        self._executor = executor

    def poll(self) -> int | None:
        if self.array is None and not self.stopped:
            self._executor.submit()
        if self.array is None:
            return _STOPPED
        found = self.array.status(self.position)
        if not found.over:
            return None
        return 0 if found.state == "finished" else found.exit_code or (_STOPPED if found.state == "cancelled" else 1)

    def stop(self) -> None:
        """scancel lets it save a checkpoint, within the cluster's KillWait."""
        self.stopped = True
        if self.array is not None:
            cancel_array(f"{self.array.number}_{self.position}")

    def kill(self) -> None:
        self.stop()


def _going_on(command: Sequence[str]) -> list[str]:
    """A training that Slurm may start again."""
    return [*(word for word in command if word != "--resume"), "--resume-or-start"]


def _end(number: str) -> None:
    """End an array and wait until none of it is left."""
    with suppress(Refused):  # Slurm has forgotten it
        cancel_array(number)
        while slurm("squeue", "--noheader", f"--jobs={number}").strip():
            time.sleep(1)
