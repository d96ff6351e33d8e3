"""How a job of Slurm's stands: from squeue while the controller knows it, then from sacct, then from what the job left on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from recsys.errors import InputError
from recsys.launch.engine import State, Status
from recsys.launch.slurm_client import Refused, slurm

LAUNCH_FAILURE = "JobLaunchFailure"  # Slurm's word for a script that it couldn't start
STOPPED = 75  # the script's exit code for a job that may go on and isn't requeued
_STATES: dict[State, tuple[str, ...]] = {
    "queued": ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT", "SUSPENDED", "RESV_DEL_HOLD"),
    "running": ("RUNNING", "COMPLETING", "STOPPED", "SIGNALING", "RESIZING", "STAGE_OUT"),
    "finished": ("COMPLETED",),
    "cancelled": ("CANCELLED", "REVOKED"),
}
_STATE = {name: state for state, names in _STATES.items() for name in names}  # any other is a way to fail

_NO_REASON = ("FAILED", "None", "NonZeroExitCode")  # the job itself knows more


def statuses(ids: Sequence[str]) -> dict[str, Status]:
    """How the jobs, or elements of one array (5_0, 5_1), stand; without those that neither squeue nor sacct knows.

    Raises InputError where Slurm isn't there and JobError where it doesn't answer.
    """
    known = {}
    job = ids[0].partition("_")[0]
    with suppress(Refused):
        known = _from_squeue(job)
    if not known.keys() >= set(ids):
        # Where the cluster keeps no accounts there is none, or it says so.
        with suppress(Refused, InputError):
            known = _from_sacct(job) | known
    return {name: known[name] for name in ids if name in known}


def status_on_disk(notes: Path) -> Status:
    """How a job stands that Slurm has forgotten, by the notes of its script: when each attempt started and how it ended."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    if not lines:
        return Status("lost", "Slurm doesn't know it any more, and it never started")
    told = [line.split() for line in lines]
    started = datetime.fromtimestamp(int(next(when for when, *_, what in told if what == "started")), UTC)
    when, _, _, what, *code = told[-1]
    if what == "started":
        return Status("lost", "Slurm doesn't know it any more, and it didn't say how it ended", started=started)
    state: State = "finished" if code == ["0"] else "failed"
    return _told_in_words(Status(state, started=started, ended=datetime.fromtimestamp(int(when), UTC), exit_code=int(code[0])))


def _from_squeue(job: str) -> dict[str, Status]:
    form = "--Format=JobArrayID:|,State:|,Reason:|,StartTime:|,EndTime:|,exit_code:|,RestartCnt:|"
    rows = [line.split("|") for line in slurm("squeue", "--noheader", "--array", "--states=all", f"--jobs={job}", form).splitlines()]
    found = {}
    for name, state, reason, started, ended, code, restarts, *_ in rows:
        again = f"requeued {restarts} time(s)" if int(restarts) else ""
        # A process's raw status, as wait() gives it.
        found[name] = _status(state, reason, again, started, ended, os.waitstatus_to_exitcode(int(code)))
    return found


def _from_sacct(job: str) -> dict[str, Status]:
    fields = ("JobID", "State", "Start", "End", "ExitCode")
    form = ["--noheader", "--parsable2", "--allocations", f"--jobs={job}", f"--format={','.join(fields)}"]
    rows = [line.split("|") for line in slurm("sacct", *form).splitlines()]
    return {name: _status(state.split()[0], "None", "", start, end, int(code.partition(":")[0])) for name, state, start, end, code in rows}


def _status(word: str, reason: str, again: str, started: str, ended: str, code: int) -> Status:
    """word, reason: Slurm's state of a job, and why it waits or failed. again: how often it was requeued."""
    state = _STATE.get(word, "failed")
    if state == "queued":
        return Status(state, ", ".join(text for text in (again, reason) if text not in ("", "None")))
    if state == "running":
        return Status(state, again, started=_time(started))
    if state == "cancelled":
        return Status(state, started=_time(started), ended=_time(ended))
    why = [text for text in (word, reason) if text not in _NO_REASON] if state == "failed" else []
    return _told_in_words(Status(state, ", ".join(why), started=_time(started), ended=_time(ended), exit_code=code))


def _told_in_words(found: Status) -> Status:
    if found.exit_code == STOPPED:
        return replace(found, detail="it was stopped and not requeued")
    return found


def _time(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.fromisoformat(text).astimezone()
    return None
