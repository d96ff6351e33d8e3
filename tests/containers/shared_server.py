"""The shared tracking server as docker/compose.yaml has it, in ordinary processes: PostgreSQL, moto's S3 in SeaweedFS's place, MLflow."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psycopg2
import pytest
import s3_store
import yaml

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
MLFLOW = COMPOSE["services"]["mlflow"]
DATABASE = "mlflow"  # and its owner


class Postgres:
    """A PostgreSQL of its own on a loopback port, with passwords. It refuses to run as root, so then it runs as nobody."""

    def __init__(self, programs: Path, password: str) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's own folders are closed to others
        self._user: dict[str, object] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        passwords = self._folder / "password"
        passwords.write_text(password)
        if self._user:
            for path in (self._folder, passwords):
                shutil.chown(path, "nobody", "nogroup")
        cluster = self._folder / "cluster"
        made = [programs / "initdb", "-D", cluster, "-U", DATABASE, "-A", "scram-sha-256", f"--pwfile={passwords}", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, cwd=self._folder, **self._user)  # type: ignore[call-overload]
        passwords.unlink()
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self._folder}", "fsync=off"]
        command = [programs / "postgres", "-D", cluster, *(word for setting in settings for word in ("-c", setting))]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log, **self._user)  # type: ignore[call-overload]
        self._make_database(password)

    def kill(self) -> None:
        """End it, and away with its files."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(30)
        shutil.rmtree(self._folder)

    def _make_database(self, password: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=DATABASE, password=password, dbname="postgres")
                break
            except psycopg2.OperationalError:
                assert self._process.poll() is None and time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.1)
        connection.autocommit = True
        connection.cursor().execute(f"create database {DATABASE}")
        connection.close()


class SharedServer:
    """`mlflow server` with the command and the variables of docker/compose.yaml, on `postgres` and `store`."""

    def __init__(self, postgres: Postgres, store: s3_store.Server, passwords: dict[str, str], folder: Path) -> None:
        self.passwords = passwords
        self.store = store
        self.log = folder / "server.log"
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        here = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "MLFLOW_S3_ENDPOINT_URL": store.address,
            "MLFLOW_AUTH_CONFIG_PATH": str(DOCKER / "mlflow-auth.ini"),
        }
        self._environment = without_credentials() | MLFLOW["environment"] | here | passwords
        changed = {"host": "127.0.0.1", "port": str(self.port), "workers": "1", "allowed-hosts": f"127.0.0.1:{self.port}"}
        given = dict(word.removeprefix("--").split("=", 1) for word in MLFLOW["command"][2:])
        self._command = [sys.executable, "-m", "mlflow", "server", *(f"--{name}={value}" for name, value in (given | changed).items())]
        self.bucket = given["artifacts-destination"].split("/")[2]
        self.objects().create_bucket(Bucket=self.bucket)
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 150) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True, cwd=self._folder, env=self._environment
            )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def kill(self) -> None:
        """End it without a word."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def objects(self) -> object:
        """A client of the store."""
        keys = {"aws_access_key_id": "mlflow", "aws_secret_access_key": self.passwords["AWS_SECRET_ACCESS_KEY"]}
        return boto3.client("s3", endpoint_url=self.store.address, region_name="us-east-1", **keys)


@contextmanager
def shared_server(folder: Path) -> Iterator[SharedServer]:
    """The three while the block runs, with passwords that nobody else has. Skips where there is no PostgreSQL."""
    names = ["PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "MLFLOW_AUTH_ADMIN_PASSWORD", "MLFLOW_FLASK_SERVER_SECRET_KEY"]
    passwords = {name: secrets.token_hex(16) for name in names}
    postgres = Postgres(programs_of_postgres(), passwords["PGPASSWORD"])
    try:
        with s3_store.s3_server() as store:
            server = SharedServer(postgres, store, passwords, folder)
            try:
                server.start()
                yield server
            finally:
                server.kill()
    finally:
        postgres.kill()


def programs_of_postgres() -> Path:
    """The folder with initdb and postgres, which Debian keeps off the PATH."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("no PostgreSQL: apt-get install postgresql")
    return found[-1]


def without_credentials() -> dict[str, str]:
    """This process's variables, less those by which it would reach the stores and servers of whoever runs the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MLFLOW_", "PG"))}


def free_port() -> int:
    """A port on loopback that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
