"""What a job remembers of its course, for the figures; part of a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from recsys.tracking.figures import History

MOST_POINTS = 2000


@dataclass
class Recording:
    """Points of the step metrics, at most 2,000: when there are more, every other one is let go and the spacing doubles."""

    steps: list[int] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    weights: list[list[float]] = field(default_factory=list)
    evaluations: list[list[Any]] = field(default_factory=list)
    spacing: int = 1

    def note_step(self, step: int, tasks: list[str], metrics: dict[str, float]) -> None:
        """Keep `TASK/loss` and `TASK/weight` of a step, if its turn has come."""
        if not metrics or (self.steps and step - self.steps[-1] < self.spacing):
            return
        self.steps.append(step)
        self.losses.append([metrics[f"{task}/loss"] for task in tasks])
        self.weights.append([metrics[f"{task}/weight"] for task in tasks])
        if len(self.steps) > MOST_POINTS:
            self.steps, self.losses, self.weights = self.steps[::2], self.losses[::2], self.weights[::2]
            self.spacing = self.steps[1] - self.steps[0]

    def note_evaluation(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the metrics of an evaluation."""
        self.evaluations.append([step, metrics])

    def history(self, tasks: list[str]) -> History:
        """The form that figures are drawn from."""
        evaluations = [(step, metrics) for step, metrics in self.evaluations]
        return History(tasks, self.steps, self.weights, self.losses, evaluations)

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Recording(**fields)`."""
        return asdict(self)
