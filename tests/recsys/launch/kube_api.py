"""The part of a Kubernetes API server that kubectl asks when it creates, reads and deletes the objects of a job, on loopback.

Objects are checked by the official schemas and kept in memory; nothing runs them. No API server can be had where these tests run: it is in
none of the package registries of Debian, Python and Node.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kube_schemas import check

Document = dict[str, Any]
KINDS = {
    "v1": [("configmaps", "ConfigMap"), ("services", "Service"), ("pods", "Pod")],
    "batch/v1": [("jobs", "Job")],
    "trainer.kubeflow.org/v1alpha1": [("trainjobs", "TrainJob"), ("trainingruntimes", "TrainingRuntime")],
}
_CONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {{}}}}]
current-context: test
"""


class KubeApi:
    """objects: (kind's plural, name) -> document. logs: pod -> text. groups: what the cluster has. created: kinds, in order."""

    def __init__(self, groups: list[str]) -> None:
        self.groups = groups
        self.objects: dict[tuple[str, str], Document] = {}
        self.logs: dict[str, str] = {}
        self.created: list[str] = []
        self.refusals: list[str] = []  # messages with which the next creations of a TrainJob are refused

    def get(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """What a GET is answered with."""
        if path == "/api":
            return 200, {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in self.groups if name != "v1"]}
        if path.startswith("/openapi/v3"):
            return 200, _openapi(self.groups)
        if (group := path.removeprefix("/api/").removeprefix("/apis/")) in self.groups:
            return 200, {"kind": "APIResourceList", "groupVersion": group, "resources": [_resource(*names) for names in KINDS[group]]}
        plural, name, rest = _place(path)
        if rest == "log":
            return 200, self.logs[name]
        if name:
            found = self.objects.get((plural, name))
            return (200, found) if found else _failure(404, "NotFound", f'{plural} "{name}" not found')
        wanted = dict(part.split("=") for part in query.get("labelSelector", [])).items()
        found = [
            item for (kind, _), item in self.objects.items() if kind == plural and wanted <= item["metadata"].get("labels", {}).items()
        ]
        return 200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": found}

    def post(self, path: str, document: Document) -> tuple[int, Any]:
        """Create an object."""
        plural, name = _place(path)[0], document["metadata"]["name"]
        if plural == "trainjobs" and self.refusals:
            return _failure(403, "Forbidden", self.refusals.pop(0))
        if (plural, name) in self.objects:
            return _failure(409, "AlreadyExists", f'{plural} "{name}" already exists')
        try:
            check(document)
        except Exception as error:
            return _failure(422, "Invalid", f'{plural} "{name}" is invalid: {error}')
        self.put(plural, document)
        self.created.append(document["kind"])
        return 201, document

    def put(self, plural: str, document: Document) -> None:
        """Keep an object as it is."""
        document["metadata"] = {"creationTimestamp": datetime.now(UTC).isoformat(), "namespace": "recsys", **document["metadata"]}
        self.objects[plural, document["metadata"]["name"]] = document

    def delete(self, path: str) -> tuple[int, Any]:
        """Delete an object."""
        plural, name, _ = _place(path)
        del self.objects[plural, name]
        return 200, {"kind": "Status", "apiVersion": "v1", "status": "Success"}


@contextmanager
def serve(folder: Path, groups: list[str]) -> Iterator[tuple[KubeApi, Path]]:
    """A server, and kubectl's configuration that points to it."""
    api = KubeApi(groups)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(api))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = folder / "kubeconfig"
    config.write_text(_CONFIG.format(port=server.server_port))
    try:
        yield api, config
    finally:
        server.shutdown()


def _handler(api: KubeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            where = urlsplit(self.path)
            self._answer(*api.get(where.path, parse_qs(where.query)))

        def do_POST(self) -> None:
            self._answer(*api.post(urlsplit(self.path).path, json.loads(self._body())))

        def do_DELETE(self) -> None:
            self._body()
            self._answer(*api.delete(urlsplit(self.path).path))

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _answer(self, code: int, content: Any) -> None:
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler


def _place(path: str) -> tuple[str, str, str]:
    """(kind's plural, name, sub-resource) of .../namespaces/NAMESPACE/PLURAL/NAME/SUB."""
    parts = [*path.split("/namespaces/")[1].split("/")[1:], "", "", ""]
    return parts[0], parts[1], parts[2]


def _failure(code: int, reason: str, message: str) -> tuple[int, Document]:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": message}


def _group(name: str) -> Document:
    group, version = name.split("/")
    versions = {"groupVersion": name, "version": version}
    return {"name": group, "versions": [versions], "preferredVersion": versions}


def _resource(plural: str, kind: str) -> Document:
    return {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": ["create", "delete", "get", "list"]}


def _openapi(groups: list[str]) -> Document:
    """That fields are checked here, so that kubectl leaves it to the server."""
    paths: Document = {("api/" if name == "v1" else "apis/") + name: {"serverRelativeURL": f"/openapi/v3/{name}"} for name in groups}
    for name in groups:
        for plural, kind in KINDS[name]:
            group, _, version = name.rpartition("/")
            operation = {
                "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {},
            }
            paths[f"/{name}/{plural}"] = {"patch": operation, "post": operation}
    return {"openapi": "3.0.0", "info": {"title": "test", "version": "0"}, "paths": paths}
