"""A real S3 server on loopback, and a proxy in front of it that fails as asked."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

from pyarrow import fs

Fault = Callable[[str, str], int | str | None]
"""(method, path) of a request -> a status to answer with, `stall`, `cut` (half the body, then a closed connection), or None: pass on."""


class Server:
    """moto's S3 in a process of its own."""

    def __init__(self) -> None:
        self.port = _free_port()
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert self._process.poll() is None and time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.05)

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def upload(self, folder: Path, place: str) -> None:
        """Copy a folder to BUCKET/KEY."""
        store = fs.S3FileSystem(endpoint_override=self.address, access_key="k", secret_key="s", allow_bucket_creation=True)
        store.create_dir(place.split("/")[0])
        fs.copy_files(str(folder), place, fs.LocalFileSystem(), store, use_threads=False)

    def kill(self) -> None:
        """End it without a word."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


class Proxy:
    """Passes requests on to a server, except where `fault` says otherwise. `requests` lists what came: (method, path)."""

    def __init__(self, server: Server) -> None:
        self.fault: Fault = lambda method, path: None
        self.requests: list[tuple[str, str]] = []
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, server.port))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Release what stalls and stop listening."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: Proxy, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            request = self.command, unquote(self.path)
            proxy.requests.append(request)
            fault = proxy.fault(*request)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault == "stall":
                proxy.released.wait()
                self.close_connection = True
            elif isinstance(fault, int):
                self._answer(fault, {"Content-Length": "0"}, b"")
            else:
                self._answer(*self._asked(body), cut=fault == "cut")

        def _asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "transfer-encoding")}
            connection.close()
            return answer.status, headers, content

        def _answer(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = self.close_connection or cut

        def log_message(self, *words: object) -> None:
            pass

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

    return Handler


@contextmanager
def s3_server() -> Iterator[Server]:
    """A server while the block runs."""
    server = Server()
    try:
        yield server
    finally:
        server.kill()


def environment(address: str, key: str = "k", secret: str = "s") -> dict[str, str]:
    """The variables by which a process finds the store, and none of the machine's own."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
