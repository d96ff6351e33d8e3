"""A study in MLflow: a parent run, and a child run for each training that ended, made for MLflow's own comparison view.

In the experiment's page, `tags.mlflow.parentRunId = 'ID'` shows the children: their columns are the parameters `strategy`, `setting`,
`architecture`, `seed` and `stage`, and the metrics of valid and test by their usual names. Children are recorded by the comparison, not by
the trainings: importing MLflow in each would cost a training of half a minute a tenth of its time. What a server that is away
doesn't take waits on disk, as for any job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from recsys.config_file import FILE_NAME, load_config
from recsys.study.contestant import titled
from recsys.study.folder import RESULT
from recsys.study.outcome import Outcome
from recsys.tracking.environment import environment_tags
from recsys.tracking.spool import Spool
from recsys.tracking.store import checked_uri
from recsys.tracking.tracker import Tracker
from recsys.tracking.worker import job_of, name_run
from recsys.training.record import parameters

KIND, STUDY, CHILD = "recsys.kind", "study", "child"
PATIENCE = 20.0  # seconds that a server has to take what is new; the rest waits
SECTIONS = ("model", "mto", "train")  # of a child's configuration that its parameters say; the parent has all of it


class StudyTracking:
    """Records a study of one folder. Every method can be called again: nothing is recorded twice."""

    def __init__(self, uri: str, experiment: str, folder: Path, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> None:
        self.uri, self.experiment = checked_uri(uri), experiment
        self._folder, self._away = folder, False
        if job_of(folder) is None:
            spool = self._new_spool(folder, name)
            spool.append("tags", values=self._environment | {"mlflow.source.name": "recsys compare", KIND: STUDY, **tags})
            spool.append("params", values={key: str(value) for key, value in params.items()})
        self._send(folder)

    @property
    def run_id(self) -> str | None:
        """The parent's, once the server has been reached."""
        return _spool_of(self._folder).run_id

    def child(self, outcome: Outcome) -> None:
        """Record a training that ended, unless it is recorded; nothing while the server hasn't said the parent's id."""
        if not self._away and self.run_id is None:
            self._send(self._folder)
        if self.run_id is None:
            return
        if job_of(outcome.folder) is None:
            self._write(outcome, self.run_id)
        if not self._away:
            self._send(outcome.folder)

    def finish(
        self, outcomes: Sequence[Outcome], metrics: Mapping[str, float], files: Sequence[tuple[Path, str | None]], status: str
    ) -> str:
        """Record what is still missing, and what the study found on the parent; says in a sentence what came of it.

        files: with the folder of the run that each is put in.
        """
        self._away = False
        for outcome in outcomes:
            self.child(outcome)
        spool = _spool_of(self._folder)
        spool.append("metrics", step=0, values={name: value for name, value in metrics.items() if not math.isnan(value)})
        for path, place in files:
            spool.append("artifact", path=str(path.absolute()), artifact_path=place)
        spool.append("status", status=status)
        self._send(self._folder)
        waiting = sum(_spool_of(folder).count_pending() for folder in (self._folder, *(o.folder for o in outcomes)) if job_of(folder))
        if self.run_id is None or waiting:
            return f"{self.uri} didn't take everything; the same command with --resume sends the rest"
        shown = f"tags.mlflow.parentRunId = '{self.run_id}' shows its children"
        return f"MLflow run {self.run_id} in experiment {self.experiment} at {self.uri}: {shown}"

    def _write(self, outcome: Outcome, parent: str) -> None:
        """Leave a child's run on disk, with the times at which things happened."""
        child, config = outcome.child, load_config(outcome.folder / FILE_NAME)
        ended = int((outcome.folder / RESULT).stat().st_mtime * 1000)
        started = ended - int(outcome.seconds * 1000)
        setting = titled("", child.setting).strip()
        spool = self._new_spool(
            outcome.folder, f"{titled(child.strategy, child.setting)}, {child.architecture}, seed {child.seed}", started
        )
        about = {"strategy": child.strategy, "architecture": child.architecture, "seed": str(child.seed), "stage": child.stage}
        tags = {"mlflow.parentRunId": parent, "mlflow.source.name": "recsys compare", KIND: CHILD, "child": child.name}
        spool.append("tags", timestamp=started, values=self._environment | about | tags | {"setting": setting})
        flat = {key: str(value) for key, value in parameters(config).items() if key.split(".")[0] in SECTIONS}
        spool.append("params", timestamp=started, values=about | {"setting": setting or "-"} | flat)
        course = outcome.course
        for place, step in enumerate(course.steps):
            of_step = {f"{task}/weight": values[place] for task, values in course.weights.items()}
            of_step |= {f"{task}/loss": values[place] for task, values in course.losses.items()}
            when = started + int((ended - started) * step / max(outcome.steps, 1))
            spool.append("metrics", timestamp=when, step=step, values=of_step)
        spool.append("metrics", timestamp=ended, step=outcome.best_step, values=metrics_of(outcome))
        spool.append("status", timestamp=ended, status="FINISHED")

    def _new_spool(self, output: Path, name: str, started: int | None = None) -> Spool:
        header: dict[str, Any] = {"uri": self.uri, "experiment": self.experiment, "run_name": name, "run_id": None}
        spool = Spool.create(output / "tracking", **header | ({} if started is None else {"timestamp": started}))
        name_run(output, spool)
        return spool

    def _send(self, output: Path) -> None:
        """What hasn't arrived yet; a server that is away isn't asked again before the end."""
        if _spool_of(output).run_id is None or _spool_of(output).count_pending():
            Tracker.replay(output, PATIENCE)
            self._away = bool(_spool_of(output).count_pending())

    @cached_property
    def _environment(self) -> dict[str, str]:
        return environment_tags()


def metrics_of(outcome: Outcome) -> dict[str, float]:
    """What is compared: the metrics of valid and test, and what the training cost."""
    values = {
        **outcome.metrics,
        "cost/seconds_per_step": outcome.seconds_per_step,
        "cost/cpu_seconds_per_step": outcome.cpu_seconds_per_step,
        "cost/peak_memory_mb": outcome.peak_memory / 2**20,
        "samples_per_second": outcome.samples_per_second,
        "mto/conflict": outcome.conflict,
        "mto/contribution_variance": outcome.contribution_variance,
    }
    return {name: value for name, value in values.items() if not math.isnan(value)}


def _spool_of(output: Path) -> Spool:
    return Spool(output / "tracking" / f"{job_of(output)}.jsonl")
