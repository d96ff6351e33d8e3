"""Whether a tracking server lets a job in, asked before the job makes anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from recsys.errors import InputError
from recsys.tracking.store import checked_uri, quieten_mlflow

_REFUSALS = {401: "does not accept", 403: "does not admit"}
_SECONDS = 10  # to wait for an answer


def check_access(uri: str) -> None:
    """Refuse a uri that holds a secret, and credentials that its server refuses.

    A server that is away, slow or broken stops no job: what it doesn't hear waits in the spool.

    Raises:
        InputError: the server said no, or the uri holds a password.
    """
    uri = checked_uri(uri)
    if urlsplit(uri).scheme not in ("http", "https"):
        return
    quieten_mlflow()
    from mlflow.utils.credentials import get_default_host_creds

    credentials = get_default_host_creds(uri)
    status = _ask(credentials)
    if status in _REFUSALS:
        who = "a job without credentials" if not (credentials.username or credentials.token) else "these credentials"
        raise InputError(
            f"{uri}: the MLflow server {_REFUSALS[status]} {who} ({status}); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, in the environment, or train with tracking.enabled=false"
        )


def _ask(credentials: Any) -> int | None:
    """The status with which the server answers a harmless question; None without an answer."""
    from mlflow.utils.rest_utils import http_request

    question = "/api/2.0/mlflow/experiments/search"
    try:
        answer = http_request(
            credentials, question, "GET", params={"max_results": 1}, max_retries=0, timeout=_SECONDS, raise_on_status=False
        )
    except Exception:  # requests' and MLflow's, of many kinds
        return None
    return int(answer.status_code)
