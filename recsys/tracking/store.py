"""The MLflow side: one run of one tracking server, quietly. MLflow is imported on the first connection, never with this module."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any
from urllib.parse import parse_qs, urlsplit

from recsys.errors import InputError
from recsys.tracking.spool import Record, Spool

_JOB_TAG = "recsys.job"
_BATCH = {"metrics": 1000, "params": 100, "tags": 100}  # items a call
_LONGEST = {"params": 6000, "tags": 8000}  # characters a value
_LONGEST_KEY = 250
_REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST"}  # no later attempt will do better
_SERVERS = {"http", "https", "databricks", "databricks-uc", "sqlite", "postgresql", "mysql", "mssql"}
_SECRETS = {"password", "passwd", "token", "secret"}

# Retries are ours: MLflow's own would hold a call for minutes.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def uri_of(given: str | None) -> str:
    """The store to use: the given one, else MLFLOW_TRACKING_URI, else `sqlite:///mlflow.db`."""
    return given or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def checked_uri(uri: str) -> str:
    """`uri` with an absolute path where it names an SQLite file.

    Raises:
        InputError: it holds a secret, or MLflow keeps no metrics there.
    """
    parts = urlsplit(uri)
    if parts.password or _SECRETS & parse_qs(parts.query).keys():
        raise InputError(
            "tracking.uri holds a password: take it out and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
            "(for a database: PGPASSWORD or the like) in the environment"
        )
    if parts.scheme.partition("+")[0] not in _SERVERS:
        raise InputError(f"tracking.uri {uri!r} is no MLflow server or database: give one such as sqlite:///mlflow.db or http://HOST:5000")
    if parts.scheme == "sqlite":
        return f"sqlite:///{_sqlite_path(uri).absolute()}"
    return uri


class Store:
    """The run of a spool's job on its server. Every method may raise whatever MLflow raises when the server is away."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._client: Any = None
        self._refused: list[Record] = []
        self.run_id = ""

    def connect(self) -> None:
        """Find the job's run, or create it."""
        if self._client is None:
            self._client = quiet_client(self._spool.header["uri"])
        run_id = self._spool.run_id
        if run_id is None:
            run_id = self._find_run() or self._create_run()
        self._client.update_run(run_id, status="RUNNING")
        self._spool.set_run(run_id)
        self.run_id = run_id

    def send(self, records: Sequence[Record]) -> list[Record]:
        """Deliver records; the items that the server refuses for good, with its reason."""
        from mlflow.entities import Metric, Param, RunTag

        def batch(argument: str) -> Callable[[Sequence[Any]], None]:
            return lambda items: self._client.log_batch(self.run_id, **{argument: list(items)})

        self._refused = []
        points = [Metric(*point) for point in metric_points(records)]
        params = [Param(*pair) for pair in _texts(records, "params")]
        tags = [RunTag(*pair) for pair in _texts(records, "tags")]
        for argument, items in (("metrics", points), ("params", params), ("tags", tags)):
            for start in range(0, len(items), _BATCH[argument]):
                self._deliver(items[start : start + _BATCH[argument]], batch(argument))
        for record in records:
            if record["kind"] == "artifact":
                self._send_artifact(record)
            elif record["kind"] == "status":
                self._client.set_terminated(self.run_id, record["status"], end_time=record["timestamp"])
        return self._refused

    def count_missing(self, deadline: float) -> int | None:
        """Points of the spool that the server doesn't have; None where `deadline` (time.monotonic) came first."""
        expected: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for key, _, timestamp, step in metric_points(self._spool.records()):
            expected[key].add((timestamp, step))
        missing = 0
        for key, points in expected.items():
            if time.monotonic() > deadline:
                return None
            missing += len(points - {(point.timestamp, point.step) for point in self._client.get_metric_history(self.run_id, key)})
        return missing

    def _find_run(self) -> str | None:
        """The run that an attempt of this job created without hearing the answer."""
        experiment = self._client.get_experiment_by_name(self._spool.header["experiment"])
        if experiment is None:
            return None
        found = self._client.search_runs([experiment.experiment_id], f"tags.`{_JOB_TAG}` = '{self._spool.header['job']}'", max_results=1)
        return found[0].info.run_id if found else None

    def _create_run(self) -> str:
        header = self._spool.header
        experiment = self._client.get_experiment_by_name(header["experiment"])
        if experiment is None:
            experiment_id = self._client.create_experiment(header["experiment"], artifact_location=_artifact_location(header["uri"]))
        else:
            experiment_id = experiment.experiment_id
        run = self._client.create_run(
            experiment_id, start_time=header["timestamp"], tags={_JOB_TAG: header["job"]}, run_name=header["run_name"]
        )
        return run.info.run_id

    def _send_artifact(self, record: Record) -> None:
        path = Path(record["path"])
        if not path.exists():
            self._refused.append(record | {"reason": "the file is gone"})
            return
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        self._deliver([record], lambda _: log(self.run_id, str(path), record["artifact_path"]))

    def _deliver(self, items: Sequence[Any], send: Callable[[Sequence[Any]], None]) -> None:
        """Send items together; when the server refuses them, halve until those that it refuses are alone."""
        from mlflow.exceptions import MlflowException

        try:
            send(items)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            if len(items) == 1:
                content = items[0] if isinstance(items[0], dict) else dict(items[0])
                self._refused.append(content | {"reason": one_line(error)})
                return
            half = len(items) // 2
            self._deliver(items[:half], send)
            self._deliver(items[half:], send)


def metric_points(records: Iterable[Record]) -> Iterable[tuple[str, float, int, int]]:
    """(key, value, timestamp in ms, step) of every metric."""
    for record in records:
        if record["kind"] == "metrics":
            for key, value in record["values"].items():
                yield _key(key), value, record["timestamp"], record["step"]


def one_line(error: BaseException) -> str:
    """The first line of an error, short."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if len(text) <= 200 else text[:199] + "…"


def _texts(records: Iterable[Record], kind: str) -> Iterable[tuple[str, str]]:
    longest = _LONGEST[kind]
    for record in records:
        if record["kind"] == kind:
            for key, value in record["values"].items():
                yield _key(key), value if len(value) <= longest else value[: longest - 1] + "…"


def _key(name: str) -> str:
    """`name` with only the characters that MLflow admits."""
    return re.sub(r"[^\w\-. :/]", "_", name)[:_LONGEST_KEY]


def _sqlite_path(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///"))


def _artifact_location(uri: str) -> str | None:
    """Artifacts of an SQLite store lie beside it, wherever the job runs; a server has its own place."""
    return (_sqlite_path(uri).parent / "mlruns").as_uri() if uri.startswith("sqlite:") else None


def quiet_client(uri: str) -> Any:
    """A client whose library prints nothing of its own."""
    quieten_mlflow()
    if uri.startswith("sqlite:") and not _sqlite_path(uri).exists():
        _create_database(_sqlite_path(uri))
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def quieten_mlflow() -> None:
    """Import MLflow with its settings as they must be here: no retries of its own, nothing printed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _create_database(path: Path) -> None:
    """Make an empty SQLite store that is whole or not there: MLflow can't use one that was killed while its tables were made."""
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    # Removed by hand: a TemporaryDirectory would go at the end of the process, under the thread that still fills it.
    folder = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    made = folder / path.name
    MlflowClient(tracking_uri=f"sqlite:///{made}").search_experiments()
    try:
        os.link(made, path)
    except FileExistsError:
        pass  # another job was faster
    except OSError:
        made.replace(path)  # no links on this file system
    rmtree(folder)
