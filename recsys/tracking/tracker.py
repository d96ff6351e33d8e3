"""One MLflow run a job, that never stops, slows or fails the job."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from recsys.tracking.environment import environment_tags
from recsys.tracking.spool import Spool, size, write_whole
from recsys.tracking.store import Store, checked_uri, one_line

Status = Literal["FINISHED", "FAILED", "KILLED"]

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


class Tracking(Protocol):
    """What a trainer says of itself."""

    @property
    def run_id(self) -> str | None: ...
    def log_metrics(self, values: Mapping[str, float], step: int) -> None: ...
    def log_params(self, values: Mapping[str, Any]) -> None: ...
    def set_tags(self, values: Mapping[str, Any]) -> None: ...
    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None: ...
    def close(self, status: Status = "FINISHED", timeout_seconds: float = 60.0) -> Report: ...


class NullTracker:
    """Keeps nothing: for ranks above 0, and where tracking is off."""

    run_id: str | None = None

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Nothing."""

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Nothing."""

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        """Nothing."""

    def close(self, status: Status = "FINISHED", timeout_seconds: float = 60.0) -> Report:
        """An empty report."""
        return Report(run_id=None, sent=0, pending=0, refused=0, missing=None, message="tracking is off")


class Tracker:
    """Tracks a job in one MLflow run, from rank 0 alone.

    Every call only appends to a file below `output/tracking` and returns. One background thread imports MLflow, finds or creates
    the run, and sends what the file holds in batches, trying again for as long as the server is away. What hasn't arrived when the
    job ends is sent by `Tracker.replay(output)`, or when the job is resumed. After a kill between a batch's arrival and its
    acknowledgement the batch is sent again; MLflow's SQL stores keep such a point (same key, step, time and value) once.

    Credentials come from the environment (MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN). MLflow's own
    retries and its noise are switched off through environment variables, where those aren't set already.

    Example::

        tracker = Tracker("sqlite:///mlflow.db", "recsys", "demo", Path("runs/demo"), params={"seed": 0})
        tracker.log_metrics({"ctr/auc": 0.71}, step=100)
        print(tracker.close().message)

    Args:
        uri: an MLflow tracking server (http, https) or database (sqlite, postgresql, ...).
        experiment: name; created when there is none.
        run_name: name of a new run.
        output: folder of the job; `run.json` in it names the run as soon as that is known.
        run_id: continue this run of the server.
        resume: continue the run that `output` belongs to, whether or not its server was ever reached. A new run where there is none,
            or where uri or experiment have changed.
        tags, params: logged at once. Those of a continued run must not contradict its parameters; MLflow refuses a changed one.

    Raises:
        InputError: the uri holds a password, or MLflow keeps no metrics there.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        run_name: str,
        output: Path,
        *,
        run_id: str | None = None,
        resume: bool = False,
        tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> None:
        uri = checked_uri(uri)
        earlier = _earlier_spool(output, uri, experiment)
        if earlier and (resume or (run_id and earlier.run_id == run_id)):
            self._spool = earlier
        else:
            header = {"uri": uri, "experiment": experiment, "run_name": run_name, "run_id": run_id}
            self._spool = Spool.create(output / "tracking", **header)
        _name_run(output, self._spool)
        self._given_tags = {key: str(value) for key, value in (tags or {}).items()}
        self._worker = Worker(self._spool, output)
        self.log_params(params or {})
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str | None:
        """The id of the MLflow run, once the server has been reached."""
        return self._spool.run_id

    def log_metrics(self, values: Mapping[str, float], step: int) -> None:
        """Metrics of training step `step`, with the time of now."""
        if values:
            self._spool.append("metrics", step=int(step), values={key: float(value) for key, value in values.items()})

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Parameters, as text; values over 6000 characters are cut."""
        if values:
            self._spool.append("params", values={key: str(value) for key, value in values.items()})

    def set_tags(self, values: Mapping[str, Any]) -> None:
        """Tags, as text; values over 8000 characters are cut."""
        if values:
            self._spool.append("tags", values={key: str(value) for key, value in values.items()})

    def log_artifact(self, path: Path, artifact_path: str | None = None) -> None:
        """A file or folder, into folder `artifact_path` of the run. It is read when it is sent: leave it where it is."""
        self._spool.append("artifact", path=str(Path(path).absolute()), artifact_path=artifact_path)

    def close(self, status: Status = "FINISHED", timeout_seconds: float = 60.0) -> Report:
        """End the run, wait up to `timeout_seconds` for what is left to arrive, and say what came of it. Raises nothing of the server's."""
        self._spool.append("status", status=status)
        self._worker.finish(time.monotonic() + timeout_seconds)
        self._thread.join(timeout_seconds)
        return self._worker.report()

    @staticmethod
    def replay(output: Path, timeout_seconds: float = 60.0) -> list[Report]:
        """Send what jobs in folder `output` have left in their spools, for at most `timeout_seconds`; a report for each such job."""
        deadline = time.monotonic() + timeout_seconds
        reports = []
        for path in sorted(output.glob("tracking/*.jsonl")):
            if path.name.endswith(".refused.jsonl") or not (spool := Spool(path)).count_pending():
                continue
            worker = Worker(spool, output)
            worker.finish(deadline)
            worker.run()
            reports.append(worker.report())
        return reports

    def _work(self) -> None:
        # Asking git takes a while, so not in the constructor.
        self.set_tags(environment_tags() | self._given_tags)
        self._worker.run()


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
                _name_run(self._output, self._spool, only_if_same_job=True)
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


def _name_run(output: Path, spool: Spool, only_if_same_job: bool = False) -> None:
    """Write `run.json`, which says what job and run folder `output` belongs to."""
    path, header = output / "run.json", spool.header
    if only_if_same_job and _job_of(output) != header["job"]:
        return
    content = {"job": header["job"], "run_id": spool.run_id, "uri": header["uri"], "experiment": header["experiment"]}
    write_whole(path, json.dumps(content, indent=2) + "\n")


def _job_of(output: Path) -> str | None:
    path = output / "run.json"
    return json.loads(path.read_text())["job"] if path.exists() else None


def _earlier_spool(output: Path, uri: str, experiment: str) -> Spool | None:
    """The spool of the job that folder `output` belongs to, if it goes to the same place."""
    path = output / "tracking" / f"{_job_of(output)}.jsonl"
    spool = Spool(path) if path.exists() else None
    return spool if spool and (spool.header["uri"], spool.header["experiment"]) == (uri, experiment) else None
