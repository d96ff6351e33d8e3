"""What a job's training run has come to, from the run's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.launch.job import Job


@dataclass(frozen=True)
class Run:
    """checkpoint: step of the last one. run_id: that of the MLflow run. None where there is none yet, or the folder isn't here."""

    checkpoint: int | None
    run_id: str | None


def run_of(job: Job) -> Run:
    """The run of a job."""
    latest = _read(job.output / "checkpoints" / "index.json").get("latest")
    return Run(None if latest is None else int(latest.removeprefix("step-")), _read(job.output / "run.json").get("run_id"))


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}
