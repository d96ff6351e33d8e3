"""kubectl, whose failures are told in one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from recsys.errors import InputError, JobError
from recsys.launch.kubernetes_profile import KubernetesProfile

_UNREACHABLE = ("Unable to connect", "connection to the server", "no configuration has been provided", "i/o timeout", "deadline exceeded")
_LOG = re.compile(r"[EFIW]\d{4} ")  # what kubectl's libraries log beside its message
_LONGEST = 600  # letters of a message that are told
_TIMEOUT = "--request-timeout=30s"


class Kubectl:
    """The command line client of the cluster and namespace of a profile. Raises InputError where there is no kubectl or no such context."""

    def __init__(self, profile: KubernetesProfile) -> None:
        path = shutil.which("kubectl")
        if path is None:
            raise InputError("engine kubernetes: kubectl isn't on the PATH; install it, and point it to the cluster (KUBECONFIG)")
        self._where = profile.context or "the current context"
        self._command = [path, *([f"--context={profile.context}"] if profile.context else []), f"--namespace={profile.namespace}"]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What the command prints. Raises JobError, with what it said, where it fails."""
        done = subprocess.run([*self._command, *arguments, _TIMEOUT], input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise self._failure(arguments[0], done.stderr)
        return done.stdout

    def get(self, kinds: str, *arguments: str) -> list[dict[str, Any]]:
        """The objects of these kinds, by name or by label; none where there are none."""
        text = self.run("get", kinds, *arguments, "--ignore-not-found", "--output=json")
        found = json.loads(text) if text.strip() else {"items": []}
        return found.get("items", [found])

    def lines(self, *arguments: str) -> Iterator[str]:
        """The lines that a long command prints, until it ends."""
        command = [*self._command, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace") as process:
            try:
                yield from process.stdout or ()
            finally:
                process.terminate()

    def _failure(self, verb: str, told: str) -> InputError | JobError:
        lines = [line for line in told.removeprefix("error: ").splitlines() if not _LOG.match(line)]
        said = " ".join(" ".join(lines).split())[:_LONGEST] or "it didn't say why"
        if 'no matches for kind "TrainJob"' in told or 'no matches for kind "TrainingRuntime"' in told or 'resource type "trainjob' in told:
            return InputError(f"{self._where}: the cluster has no Kubeflow Trainer 2; have it installed, or set kind: job in the profile")
        if "context" in said and "does not exist" in said:
            return InputError(f"kubectl: {said}; `kubectl config get-contexts` lists them")
        if any(part in told for part in _UNREACHABLE):
            return JobError(f"the cluster of {self._where} can't be reached: {said}")
        return JobError(f"kubectl {verb}: {said}")
