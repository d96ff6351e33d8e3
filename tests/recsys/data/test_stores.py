"""Logs in a real S3 server on loopback: read like local ones, asked for again when the store fails, one line when it doesn't come back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
import requests
from reading import CLICK, NUMBERED, data_config, row_numbers, write_numbered
from s3_store import Proxy, Server, environment, s3_server

from recsys.data.reader import Reader
from recsys.data.source import Need, open_source
from recsys.data.statistics import Statistics
from recsys.data.stores import StoreConfig, refuse_credentials
from recsys.errors import InputError, JobError
from recsys.training.record import schemas

ROW = Need("row", "id", False, "the feature 'row'")
QUICK = StoreConfig(attempts=3, timeout=0.5)
ROWS = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a log of six days of 100 rows, in row groups of 50, and its description."""
    folder = tmp_path_factory.mktemp("log")
    write_numbered(folder / "all", [100] * 6, group=50)
    for number, file in enumerate(sorted((folder / "all").iterdir())):
        day = folder / f"date=2022-05-{number + 1:02}" / f"hour={number}"
        day.mkdir(parents=True)
        file.rename(day / "part.parquet")
    (folder / "all").rmdir()
    (folder / "_schema.yaml").write_text("name: numbered\n")
    with s3_server() as server:
        server.upload(folder, "logs/numbered")
        yield server


@pytest.fixture
def proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The way to the server, which the environment names."""
    proxy = Proxy(server)
    for name, value in environment(proxy.address).items():
        monkeypatch.setenv(name, value)
    yield proxy
    proxy.close()


def reader(path: str = "s3://logs/numbered", store: StoreConfig = QUICK) -> Reader:
    return Reader([path], data_config(store=store), NUMBERED, CLICK, Statistics(features={}))


def rows(reader: Reader) -> list[int]:
    return sorted(row for batch in reader.epoch(0) for row in row_numbers(batch))


def test_a_remote_log_reads_like_a_local_one(proxy: Proxy) -> None:
    assert rows(reader()) == list(range(ROWS))
    assert rows(reader("s3://logs/numbered/*/hour=[12]/*.parquet")) == list(range(100, 300))
    assert rows(reader("s3://logs/numbered where date > 2022-05-02 and date < 2022-05-05")) == list(range(200, 400))
    name = open_source(["s3://logs/numbered/date=2022-05-01"], [ROW], store=QUICK).files[0].name
    assert name == "s3://logs/numbered/date=2022-05-01/hour=0/part.parquet"


def test_a_filter_asks_the_store_for_nothing_else(proxy: Proxy) -> None:
    open_source(["s3://logs/numbered where date = 2022-05-03"], [ROW], store=QUICK)
    asked = [path for _, path in proxy.requests if "date" in path]
    assert asked and all("2022-05-03" in path for path in asked)
    assert sum(".parquet" in path for path in asked) == 3  # its size, its footer, when it was written


def test_the_description_beside_a_remote_log_comes_along(proxy: Proxy, tmp_path: Path) -> None:
    paths = ["s3://logs/numbered/date=2022-05-01", "s3://logs/numbered where date > 2022-05-02", "s3://logs/numbered/*/*/part.parquet"]
    (copy,) = schemas(paths, QUICK, tmp_path)
    assert copy.parent == tmp_path and copy.read_text() == "name: numbered\n"
    assert schemas(["s3://absent/x", str(tmp_path / "absent")], QUICK, tmp_path) == []


@pytest.mark.parametrize("fault", [503, "cut", "stall"])
def test_a_store_that_fails_for_a_moment_is_asked_again(proxy: Proxy, fault: int | str) -> None:
    seen: dict[tuple[str, str], int] = {}
    lock = threading.Lock()

    def once(method: str, path: str) -> int | str | None:
        """Each file's and listing's first GET fails."""
        with lock:
            seen[method, path] = seen.get((method, path), 0) + 1
            return fault if method == "GET" and seen[method, path] == 1 and ("list-type" in path or "hour=3" in path) else None

    proxy.fault = once
    assert rows(reader()) == list(range(ROWS))
    assert all(seen[request] == 2 for request in seen if request[0] == "GET" and "list-type" in request[1])
    assert any(seen[request] > 1 for request in seen if "hour=3" in request[1])


@pytest.mark.parametrize("fault", [503, "stall", "cut"])
@pytest.mark.parametrize("kind", ["listing", "footer"])
def test_a_store_that_does_not_come_back_ends_in_one_line(proxy: Proxy, fault: int | str, kind: str) -> None:
    wanted = "list-type" if kind == "listing" else ".parquet"
    proxy.fault = lambda method, path: fault if method == "GET" and wanted in path else None
    started = time.monotonic()
    with pytest.raises(JobError, match=r"^s3://logs/numbered.*the store doesn't answer") as caught:
        open_source(["s3://logs/numbered"], [ROW], store=StoreConfig(attempts=2, timeout=0.5))
    assert "\n" not in str(caught.value) and time.monotonic() - started < 20


def test_a_store_that_dies_while_it_is_read_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_numbered(tmp_path / "log", [2000] * 8, group=500)
    with s3_server() as server:
        for name, value in environment(server.address).items():
            monkeypatch.setenv(name, value)
        server.upload(tmp_path / "log", "logs/dying")
        batches = reader("s3://logs/dying", StoreConfig(attempts=2, timeout=0.5)).epoch(0)
        next(batches)
        server.kill()
        with pytest.raises(JobError, match=r"^s3://logs/dying/part-00\d.parquet, row group \d: the store doesn't answer") as caught:
            list(batches)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["s3://nowhere/log", "s3://logs/nothing", "s3://logs/numbered/absent.parquet", "s3://nowhere/*.parquet"]
)
def test_what_is_not_in_the_store_fails_at_once(proxy: Proxy, address: str) -> None:
    with pytest.raises(InputError, match=r"no such file or folder|no parquet file there"):
        open_source([address], [ROW], store=QUICK)
    assert len(proxy.requests) == len(set(proxy.requests))


def test_a_file_deleted_under_the_reader_fails_at_once(proxy: Proxy) -> None:
    proxy.fault = lambda method, path: 404 if "hour=3" in path else None
    with pytest.raises(InputError, match=r"date=2022-05-04/hour=3/part.parquet: "):
        open_source(["s3://logs/numbered"], [ROW], store=QUICK)
    assert sum("hour=3" in path for _, path in proxy.requests) == 1


def test_wrong_credentials_fail_at_once_and_are_not_told(server: Server, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"endpoint_url": server.address, "region_name": "us-east-1", "aws_access_key_id": "k", "aws_secret_access_key": "s"}
    iam = boto3.client("iam", **given)
    iam.create_user(UserName="reader")
    policy = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}'
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=policy)
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    requests.post(f"{server.address}/moto-api/reset-auth", data=b"0", timeout=10)  # from here on it checks signatures
    try:
        for name, value in environment(proxy.address, key["AccessKeyId"], key["SecretAccessKey"]).items():
            monkeypatch.setenv(name, value)
        assert open_source(["s3://logs/numbered"], [ROW], store=QUICK).rows == ROWS
        for name, value in (("AWS_SECRET_ACCESS_KEY", "a-wrong-secret"), ("AWS_ACCESS_KEY_ID", "ANUNKNOWNKEY")):
            proxy.requests.clear()
            monkeypatch.setenv(name, value)
            with pytest.raises(InputError, match=r"^s3://logs/numbered: the store refuses access") as caught:
                open_source(["s3://logs/numbered"], [ROW], store=QUICK)
            assert "\n" not in str(caught.value) and value not in str(caught.value) and len(proxy.requests) == 1
    finally:
        requests.post(f"{server.address}/moto-api/reset-auth", data=b"inf", timeout=10)


@pytest.mark.parametrize(
    ("address", "holds"),
    [
        ("s3://KEY:SECRET@logs/x", True),
        ("s3://KEY:SEC/RET@logs/x", True),
        ("s3://KEY@logs/x", True),
        ("hdfs://me:word@name:8020/x", True),
        ("hdfs://me@name:8020/x", False),
        ("s3://logs/hour=12:00/a@b.parquet", False),
        ("/a:b/c@d", False),
    ],
)
def test_addresses_with_credentials_are_refused_without_repeating_them(address: str, holds: bool) -> None:
    if holds:
        with pytest.raises(ValueError, match="holds credentials") as caught:
            refuse_credentials(address)
        assert not any(word in str(caught.value) for word in ("KEY@", "KEY:", "SEC", "RET", "word"))
    else:
        refuse_credentials(address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("s3://logs/x?regio=eu", "unknown option 'regio'; the nearest is 'region'"),
        ("s3://", "it names no bucket"),
        ("hdfs://localhost:1/x", "hdfs://localhost:1/x: "),
        ("gs://logs/x", "gs://logs/x: "),
    ],
)
def test_addresses_that_lead_nowhere(monkeypatch: pytest.MonkeyPatch, address: str, words: str) -> None:
    for name, value in environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises((InputError, JobError)) as caught:
        open_source([address], [ROW], store=StoreConfig(attempts=1, timeout=0.5))
    assert words in str(caught.value) and "\n" not in str(caught.value)
