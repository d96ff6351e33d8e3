"""What a finished child left."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.errors import InputError
from recsys.study.child import Child
from recsys.study.folder import RESULT, StudyFolder


@dataclass(frozen=True)
class Course:
    """How a run went, at S noted steps (every tenth, at most 2,000).

    steps: (S,). weights, losses: by task, (S,) means over the ten steps before. evaluations: (step, metrics `TASK/METRIC`) on valid.
    """

    steps: Sequence[int]
    weights: Mapping[str, Sequence[float]]
    losses: Mapping[str, Sequence[float]]
    evaluations: Sequence[tuple[int, Mapping[str, float]]]


@dataclass(frozen=True)
class Scores:
    """A parquet folder with a row for each of the test split, in the form that `recsys.evaluation.compare.table.ScoreTable` reads.

    run: the scores are in columns `score/RUN/TASK`. user: column whose rows depend on each other (`log/USER`), None where none is known.
    """

    folder: Path
    run: str
    user: str | None


@dataclass(frozen=True)
class Outcome:
    """What a finished child left, as its `result.json` says.

    metrics: `SPLIT/TASK/METRIC` of the best checkpoint, such as `test/ctr/auc`; NaN where there is none (one class alone). A child that
    isn't final has only those of valid. seconds_per_step: by the clock, reading included, evaluations not; cpu_seconds_per_step: processor
    time over all ranks, which other work on the machine changes less. peak_memory: bytes resident, of the rank with the most. conflict,
    contribution_variance: means over the run of what `emtl.equity` measures, NaN where nothing is shared.
    """

    child: Child
    folder: Path
    metrics: Mapping[str, float]
    scores: Scores | None
    seconds: float
    seconds_per_step: float
    cpu_seconds_per_step: float
    samples_per_second: float
    peak_memory: int
    conflict: float
    contribution_variance: float
    course: Course
    best_step: int
    steps: int
    world_size: int
    run_id: str | None

    @classmethod
    def read(cls, child: Child, folder: Path) -> Outcome:
        """The outcome of a child in its run folder. Raises InputError where its result can't be read."""
        path = folder / RESULT
        try:
            result = json.loads(path.read_text())
            return cls._parse(child, folder, result)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: is not the result of a child of a study ({type(error).__name__}: {error}); remove the folder"
            ) from error

    def again(self) -> Outcome:
        """Read again, with what was added since."""
        return Outcome.read(self.child, self.folder)

    @classmethod
    def _parse(cls, child: Child, folder: Path, result: dict[str, Any]) -> Outcome:
        kept, cost, course = result["scores"], result["cost"], result["course"]
        return cls(
            child=child,
            folder=folder,
            metrics={name: _number(value) for name, value in result["metrics"].items()},
            scores=Scores(folder / kept["folder"], kept["run"], kept["user"]) if kept else None,
            seconds=result["seconds"],
            seconds_per_step=cost["seconds_per_step"],
            cpu_seconds_per_step=cost["cpu_seconds_per_step"],
            samples_per_second=result["samples_per_second"],
            peak_memory=cost["peak_memory_bytes"],
            conflict=_number(course["conflict"]),
            contribution_variance=_number(course["contribution_variance"]),
            course=Course(
                course["steps"], course["weights"], course["losses"], [(step, metrics) for step, metrics in course["evaluations"]]
            ),
            best_step=result["best_step"],
            steps=result["steps"],
            world_size=result["world_size"],
            run_id=_run_id(folder, result),
        )


def read_outcomes(folder: StudyFolder) -> list[Outcome]:
    """The outcomes of all children that are done, in the order of their names."""
    return [Outcome.read(read_child(folder, name), folder.run(name)) for name in folder.names() if folder.is_done(name)]


def read_child(folder: StudyFolder, name: str) -> Child:
    """What a child is."""
    return Child(**json.loads(folder.about(name).read_text())["child"])


def _run_id(folder: Path, result: dict[str, Any]) -> str | None:
    """Of the training's own MLflow run, or of that which the comparison made for it since."""
    about = folder / "run.json"
    return json.loads(about.read_text())["run_id"] if about.exists() else result["run_id"]


def _number(value: float | None) -> float:
    return math.nan if value is None else value
