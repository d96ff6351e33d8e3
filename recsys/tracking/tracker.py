"""One MLflow run a job, that never stops, slows or fails the job."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from recsys.tracking.environment import environment_tags
from recsys.tracking.spool import Spool
from recsys.tracking.store import checked_uri
from recsys.tracking.worker import Report, Worker, job_of, name_run

Status = Literal["FINISHED", "FAILED", "KILLED"]


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

    Attributes:
        continues: whether an earlier attempt began this run.

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
        self.continues = earlier is not None and (resume or (run_id is not None and earlier.run_id == run_id))
        if earlier is not None and self.continues:
            self._spool = earlier
        else:
            header = {"uri": uri, "experiment": experiment, "run_name": run_name, "run_id": run_id}
            self._spool = Spool.create(output / "tracking", **header)
        name_run(output, self._spool)
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


def _earlier_spool(output: Path, uri: str, experiment: str) -> Spool | None:
    """The spool of the job that folder `output` belongs to, if it goes to the same place."""
    path = output / "tracking" / f"{job_of(output)}.jsonl"
    spool = Spool(path) if path.exists() else None
    return spool if spool and (spool.header["uri"], spool.header["experiment"]) == (uri, experiment) else None
