"""Jobs whose candidates are compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from recsys.config_file import load_config
from recsys.offline.request import Request, Scored

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]


def command(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`recsys ARGUMENTS` in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    return subprocess.run([*RECSYS, *arguments], capture_output=True, text=True, timeout=300, env=environment, check=False, cwd=folder)


@dataclass(frozen=True)
class Trained:
    """Runs on one log that report to one MLflow store."""

    log: Path
    folder: Path
    uri: str

    @property
    def test(self) -> str:
        return str(self.log / "split=test")

    def run(self, name: str) -> Path:
        return self.folder / name

    def result(self, name: str) -> dict:
        return json.loads((self.run(name) / "result.json").read_text())

    def request(self, output: Path, *runs: Scored) -> Request:
        tasks = load_config(self.run("emtl") / "config.yaml").tasks
        return Request(data=[self.test], tasks=tasks, runs=list(runs), columns={"user_id": "users", "surface": "slices"}, output=output)
