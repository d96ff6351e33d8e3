"""What a job remembers of its course, for the figures; part of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from recsys.tracking.history import History
from recsys.training.report import for_machines
from recsys.training.telemetry import cosine_names

MOST_POINTS = 2000


@dataclass
class Recording:
    """Points of the step metrics, at most 2,000: when there are more, every other one is let go and the spacing doubles."""

    steps: list[int] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)
    contributions: list[list[float | None]] = field(default_factory=list)
    cosines: list[list[float | None]] = field(default_factory=list)
    evaluations: list[list[Any]] = field(default_factory=list)
    spacing: int = 1

    def note_step(self, step: int, tasks: list[str], metrics: dict[str, float]) -> None:
        """Keep a step's `TASK/loss`, `TASK/weight` and, where measured, contributions and cosines, if its turn has come."""
        if not metrics or (self.steps and step - self.steps[-1] < self.spacing):
            return
        self.steps.append(step)
        self.losses.append([metrics[f"{task}/loss"] for task in tasks])
        self.weights.append([metrics[f"{task}/weight"] for task in tasks])
        self.contributions.append([metrics.get(f"{task}/contribution") for task in tasks])
        self.cosines.append([metrics.get(name) for name in cosine_names(tasks)])
        if len(self.steps) > MOST_POINTS:
            for points in (self.steps, self.losses, self.weights, self.contributions, self.cosines):
                del points[1::2]
            self.spacing = self.steps[1] - self.steps[0]

    def note_evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the metrics of an evaluation."""
        self.evaluations.append([step, metrics])

    def history(self, tasks: list[str]) -> History:
        """The form that figures are drawn from."""
        evaluations = [(step, metrics) for step, metrics in self.evaluations]
        return History(tasks, self.steps, self.weights, self.losses, evaluations, self.contributions, self.cosines)

    def course(self, tasks: list[str]) -> dict[str, Any]:
        """The points by task, for the result file, with the means over the run of conflict and contribution variance (`emtl.Equity`)."""
        return {
            "steps": self.steps,
            "losses": _by_task(self.losses, tasks),
            "weights": _by_task(self.weights, tasks),
            "conflict": _mean([_conflict(*point) for point in zip(self.contributions, self.cosines, strict=True)]),
            "contribution_variance": _mean([_variance(point) for point in self.contributions]),
            "evaluations": [[step, for_machines(metrics)] for step, metrics in self.evaluations],
        }

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Recording(**fields)`."""
        return asdict(self)


def _by_task(points: list[list[float]], tasks: list[str]) -> dict[str, list[float]]:
    return {task: [point[place] for point in points] for place, task in enumerate(tasks)}


def _conflict(contributions: list[float | None], cosines: list[float | None]) -> float | None:
    """The part of the pairs of present tasks (those that contribute) whose cosine is below 0; None where there is no pair."""
    pairs = zip(combinations(contributions, 2), cosines, strict=True)
    present = [cosine for contribution, cosine in pairs if all(contribution) and cosine is not None]
    return sum(cosine < 0 for cosine in present) / len(present) if present else None


def _variance(contributions: list[float | None]) -> float | None:
    """Var(c) / mean(c)^2 over the tasks present."""
    present = [value for value in contributions if value]
    return float(np.var(present) / np.mean(present) ** 2) if len(present) > 1 else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
