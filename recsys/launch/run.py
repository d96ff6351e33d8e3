"""What a job's training run has come to, from the run's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass

from recsys.launch.job import Job
from recsys.tracking.worker import run_id_of


@dataclass(frozen=True)
class Run:
    """checkpoint: step of the last one. run_id: that of the MLflow run. None where there is none yet, or the folder isn't here."""

    checkpoint: int | None
    run_id: str | None


def run_of(job: Job) -> Run:
    """The run of a job."""
    index = job.output / "checkpoints" / "index.json"
    latest = json.loads(index.read_text()).get("latest") if index.exists() else None
    return Run(None if latest is None else int(latest.removeprefix("step-")), run_id_of(job.output))
