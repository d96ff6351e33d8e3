"""Where logs live: the file system behind a path, and what its failures mean.

Credentials come from the environment alone, as the stores' own libraries read them (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_PROFILE, GOOGLE_APPLICATION_CREDENTIALS, ...). Requests have a timeout; a transient failure (no connection, a stall,
a broken answer, 429, 5xx) is tried again by the store's own client after exponentially growing random waits, of at most 20 s each; a
missing key or a refusal is not.
"""

from __future__ import annotations

import difflib
import os
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl

from pyarrow import fs
from pydantic import Field, PositiveFloat, PositiveInt

from recsys.errors import InputError, JobError
from recsys.section import Section

CONNECT_SECONDS = 5.0
S3_OPTIONS = ("region", "endpoint_override", "scheme")
_REFUSED = r"ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE|EXPIRED|UNAUTHENTICATED|PERMISSION_DENIED|HTTP status 40[13]"
_MISSING = r"NO_SUCH|RESOURCE_NOT_FOUND|NOT_FOUND"
_REMOTE = r"AWS Error|google::cloud::Status|HDFS"


class StoreConfig(Section):
    """How patiently a remote store is asked. Credentials come from the environment alone."""

    attempts: PositiveInt = Field(5, description="Times a request is made before the job gives up; the waits between them grow.")
    timeout: PositiveFloat = Field(30.0, description="Seconds without a byte after which a request has failed.")


PATIENCE = StoreConfig()


def refuse_credentials(given: str) -> None:
    """Raise ValueError, which doesn't repeat them, where an address holds credentials: configurations are recorded."""
    scheme, mark, rest = given.partition("://")
    authority = rest.split("?")[0].split("@")[0] if "@" in rest else ""
    if mark and (":" in authority.split("/")[0] or (authority and "/" not in authority and scheme in ("s3", "gs", "gcs"))):
        raise ValueError(
            f"an address {scheme}://... holds credentials; leave them out and set the environment's, such as AWS_ACCESS_KEY_ID"
        )


def resolve(given: str, store: StoreConfig) -> tuple[fs.FileSystem, str, str]:
    """The file system of a path without wildcards, the path in it, and what goes before it in messages.

    Raises InputError for an address that can't be read.
    """
    if "://" not in given:
        return fs.LocalFileSystem(), str(Path(given).expanduser().absolute()), ""
    scheme = given.split("://")[0]
    try:
        filesystem, path = _s3(given, store) if scheme == "s3" else _other(given, scheme, store)
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise failure(given, error) or InputError(
            f"{given}: not a URI that pyarrow reads ({first_line(error)}); use a path, file://, s3://, gs:// or hdfs://"
        ) from error
    return filesystem, path, "" if filesystem.type_name == "local" else f"{scheme}://"


def failure(name: str, error: Exception) -> InputError | JobError | None:
    """What a store's error means, in one line; None for an error that is not a remote store's."""
    text = first_line(error)
    if not re.search(_REMOTE, text):
        return None
    if re.search(_REFUSED, text):
        return InputError(f"{name}: the store refuses access ({text}); check the credentials in the environment and what they permit")
    if re.search(_MISSING, text):
        return InputError(f"{name}: is not in the store ({text}); check the path, or whether it was deleted under the job")
    return JobError(f"{name}: the store doesn't answer, also when asked again ({text}); go on with --resume once it does")


def first_line(error: Exception) -> str:
    """The first line of an error's text."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _s3(given: str, store: StoreConfig) -> tuple[fs.FileSystem, str]:
    """`s3://BUCKET/KEY?region=...`; the endpoint may also come from AWS_ENDPOINT_URL."""
    path, _, query = given.removeprefix("s3://").partition("?")
    options, bucket = dict(parse_qsl(query, keep_blank_values=True)), path.split("/")[0]
    if not bucket:
        raise ValueError("it names no bucket")
    for name in options:
        if name not in S3_OPTIONS:
            near = difflib.get_close_matches(name, S3_OPTIONS, 1, 0)[0]
            raise ValueError(f"unknown option {name!r}; the nearest is {near!r}")
    endpoint = options.pop("endpoint_override", None) or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = options.pop("region", None) or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and endpoint is None:
        region = fs.resolve_s3_region(bucket)
    filesystem = fs.S3FileSystem(
        endpoint_override=endpoint,
        region=region or "us-east-1",
        connect_timeout=min(CONNECT_SECONDS, store.timeout),
        request_timeout=store.timeout,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=store.attempts),
        **options,
    )
    return filesystem, path.rstrip("/")


def _other(given: str, scheme: str, store: StoreConfig) -> tuple[fs.FileSystem, str]:
    if scheme not in ("gs", "gcs"):
        return fs.FileSystem.from_uri(given)
    return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=store.attempts * store.timeout)), given.split("://")[1].rstrip("/")
