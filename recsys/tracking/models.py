"""Models by the names that MLflow gives them: `runs:/ID`, `models:/NAME@ALIAS`, `models:/NAME/VERSION`, brought to a local folder."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from recsys.errors import InputError
from recsys.tracking.store import checked_uri, one_line, quiet_client, uri_of

MODEL = "model"  # where training puts it among a run's artifacts
_NAMED = re.compile(r"(?P<scheme>runs|models):/+(?P<path>.+)")


@dataclass(frozen=True)
class Fetched:
    """A model on this machine: a folder with the layout of a run's, the MLflow run that trained it, and that run's tags."""

    folder: Path
    run_id: str
    tags: dict[str, str]


def is_named(source: str) -> bool:
    """Whether a source is `runs:/...` or `models:/...`."""
    return _NAMED.fullmatch(source) is not None


def tracking_uri(given: str | None) -> str:
    """The store to ask, as `uri_of` says.

    Raises InputError when it holds a secret, or is a file that isn't there (MLflow would make an empty one).
    """
    uri = checked_uri(uri_of(given))
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise InputError(f"{uri}: no such MLflow store; name yours with --tracking-uri or MLFLOW_TRACKING_URI")
    return uri


def store_of(given: str | None, folders: Sequence[Path]) -> str:
    """Where an evaluation of runs is told of: as `tracking_uri`, or else the store that the first tracked one of `folders` belongs to."""
    if not given and not os.environ.get("MLFLOW_TRACKING_URI"):
        for path in (folder / "run.json" for folder in folders):
            if path.is_file():
                return str(json.loads(path.read_text())["uri"])
    return checked_uri(uri_of(given))


def run_of(source: str, client: Any) -> str:
    """The id of the run behind `runs:/ID` or `models:/...`. Raises InputError where there is none."""
    match = _NAMED.fullmatch(source)
    if match is None:
        raise InputError(f"{source!r}: write runs:/ID, models:/NAME@ALIAS or models:/NAME/VERSION")
    path = match["path"].strip("/")
    if match["scheme"] == "runs":
        return path.removesuffix(f"/{MODEL}")
    name, at, alias = path.partition("@")
    with asking(source):
        if at:
            version = client.get_model_version_by_alias(name, alias)
        else:
            name, _, number = path.rpartition("/")
            if not name or not number.isdigit():
                raise InputError(f"{source!r}: write models:/NAME@ALIAS or models:/NAME/VERSION")
            version = client.get_model_version(name, number)
    if not version.run_id:
        raise InputError(f"{source}: belongs to no run, so it is no model that `recsys promote` has registered")
    return str(version.run_id)


def fetch(source: str, uri: str, cache: Path | None = None) -> Fetched:
    """Bring a model here, once: what is in `cache` (~/.cache/recsys/models by default) isn't fetched again.

    Needs nothing but the tracking server. Artifacts that lie on this machine are used where they are.

    Raises InputError when there is no such model, its run was trained without `tracking.log_model`, or the server can't be reached.
    """
    client = quiet_client(uri)
    run_id = run_of(source, client)
    with asking(source):
        run = client.get_run(run_id)
        whole = any(file.path == f"{MODEL}/config.yaml" for file in client.list_artifacts(run_id, MODEL))
    if not whole:
        raise InputError(f"{source}: run {run_id} holds no model; train it with tracking.log_model=true, or name its folder")
    place = urlsplit(run.info.artifact_uri)
    if place.scheme in ("", "file") and (local := Path(unquote(place.path)) / MODEL).is_dir():
        return Fetched(local, run_id, dict(run.data.tags))
    folder = cache or Path("~/.cache/recsys/models").expanduser()
    # A job that was resumed has sent another best checkpoint since, and then ended later.
    return Fetched(_download(client, run_id, folder / f"{run_id}-{run.info.end_time or 0}", source), run_id, dict(run.data.tags))


def _download(client: Any, run_id: str, target: Path, source: str) -> Path:
    """The run's model in `target`, which is there only when it is whole."""
    if target.is_dir():
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with asking(source):
        client.download_artifacts(run_id, MODEL, str(temporary))
    try:
        (temporary / MODEL).rename(target)
    except OSError:  # another process was faster
        if not target.is_dir():
            raise
    shutil.rmtree(temporary, ignore_errors=True)
    return target


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turns what MLflow raises into an InputError of one line."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        raise InputError(f"{what}: {one_line(error)}; check the name, and the server with --tracking-uri or MLFLOW_TRACKING_URI") from error
