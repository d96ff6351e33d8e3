"""What a job remembers of its course, for the figures; part of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from recsys.tracking.figures import History
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

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Recording(**fields)`."""
        return asdict(self)
