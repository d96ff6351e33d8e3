"""Sends what a job's spool holds, for as long as it takes."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from recsys.files import write_whole
from recsys.tracking.spool import Spool, size
from recsys.tracking.store import Store, one_line

_INTERVAL = 1.0  # seconds over which records are collected for one call
_LONGEST_PAUSE = 60.0  # seconds between attempts while the server is away
_LONGEST_PAUSE_AT_END = 2.0
_CHECK_SECONDS = 10.0  # what counting the arrived points may take

_NOT_YET = "not sent yet"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """How the tracking of a job ended.

    sent, pending: values that arrived, and that wait on disk. refused: items that the server will never take. missing: points that the
    server acknowledged and doesn't have; None where they weren't counted.
    """

    run_id: str | None
    sent: int
    pending: int
    refused: int
    missing: int | None
    message: str

    @property
    def complete(self) -> bool:
        """Whether everything arrived, as far as is known."""
        return not (self.pending or self.refused or self.missing)


class Worker:
    """Sends the records of a spool until it is told to finish."""

    def __init__(self, spool: Spool, output: Path) -> None:
        self._spool = spool
        self._output = output
        self._store = Store(spool)
        self._finishing = threading.Event()
        self._deadline = float("inf")
        self._missing: int | None = None
        self._error = _NOT_YET
        self._owns_spool = False

    def finish(self, deadline: float) -> None:
        """Make `run` end when all is sent, or at `deadline` (time.monotonic)."""
        self._deadline = deadline
        self._finishing.set()

    def run(self) -> None:
        """Send, and wait for more. Holds the spool's lock meanwhile, so that no two processes send the same."""
        pause = _INTERVAL
        with contextlib.ExitStack() as stack:
            while True:
                finishing = self._finishing.is_set()
                if self._try(stack):
                    pause = _INTERVAL
                    if finishing:
                        self._count_missing()
                        return
                    self._finishing.wait(_INTERVAL)
                elif time.monotonic() >= self._deadline:
                    return
                else:
                    self._wait(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)

    def report(self) -> Report:
        """Where things stand."""
        spool = self._spool
        pending, refused = spool.count_pending(), spool.count_refused()
        parts = [f"MLflow run {spool.run_id}: {spool.sent} values sent" if spool.run_id else "no MLflow run yet"]
        if pending:
            parts.append(
                f"{pending} wait in {spool.path} ({spool.header['uri']}: {self._error}); "
                f"Tracker.replay({str(self._output)!r}) sends them, and so does resuming the job"
            )
        if refused:
            parts.append(f"{refused} were refused by the server, see {spool.refused_path}")
        if self._missing:
            parts.append(f"{self._missing} points that the server acknowledged are not there; they are in {spool.path}")
        return Report(spool.run_id, spool.sent, pending, refused, self._missing, "; ".join(parts))

    def _try(self, stack: contextlib.ExitStack) -> bool:
        """Whether everything has been sent."""
        try:
            if not self._owns_spool:
                stack.enter_context(self._spool.sending())
                self._spool.load_state()
                self._owns_spool = True
            return self._send_all()
        except Exception as error:
            self._note(one_line(error))
            return False

    def _send_all(self) -> bool:
        while True:
            records, offset = self._spool.pending()
            if not records:
                return True
            if time.monotonic() >= self._deadline:
                return False
            if not self._store.run_id:
                self._store.connect()
                name_run(self._output, self._spool, only_if_same_job=True)
            refused = self._store.send(records)
            self._spool.acknowledge(offset, sum(size(record) for record in records) - len(refused), refused)
            self._error = _NOT_YET

    def _count_missing(self) -> None:
        if not self._store.run_id:
            return
        try:
            self._missing = self._store.count_missing(min(self._deadline, time.monotonic() + _CHECK_SECONDS))
        except Exception as error:
            self._note(one_line(error))

    def _note(self, error: str) -> None:
        if self._error == _NOT_YET:  # once an outage
            _log.warning("tracking: %s: %s; metrics wait in %s", self._spool.header["uri"], error, self._spool.path)
        self._error = error

    def _wait(self, seconds: float) -> None:
        if self._finishing.is_set():
            time.sleep(max(0.0, min(seconds, _LONGEST_PAUSE_AT_END, self._deadline - time.monotonic())))
        else:
            self._finishing.wait(seconds)


def name_run(output: Path, spool: Spool, only_if_same_job: bool = False) -> None:
    """Write `run.json`, which says what job and run folder `output` belongs to."""
    path, header = output / "run.json", spool.header
    if only_if_same_job and job_of(output) != header["job"]:
        return
    content = {"job": header["job"], "run_id": spool.run_id, "uri": header["uri"], "experiment": header["experiment"]}
    write_whole(path, json.dumps(content, indent=2) + "\n")


def run_id_of(output: Path) -> str | None:
    """The MLflow run that folder `output` belongs to; None where it has none, or the server was never reached."""
    path = output / "run.json"
    return json.loads(path.read_text())["run_id"] if path.is_file() else None


def job_of(output: Path) -> str | None:
    """The job that folder `output` belongs to."""
    path = output / "run.json"
    return json.loads(path.read_text())["job"] if path.exists() else None
