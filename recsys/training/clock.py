"""Where a job stands."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from recsys.config import Config


@dataclass
class Clock:
    """Steps done and what they led to; all of it is part of a checkpoint.

    step: optimizer steps so far. epoch, step_in_epoch: the position in the data. samples: rows trained on, over all ranks.
    skipped: rows left out because of damage, by its kind, of which skipped_in_epoch in this epoch.
    best: value of the watched metric at the best evaluation so far; without_gain: evaluations since then.
    """

    step: int = 0
    epoch: int = 0
    step_in_epoch: int = 0
    samples: int = 0
    best: float | None = None
    best_step: int = 0
    without_gain: int = 0
    best_metrics: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    skipped_in_epoch: int = 0

    def advance(self, rows: int) -> None:
        """Count a step over `rows` rows."""
        self.step += 1
        self.step_in_epoch += 1
        self.samples += rows

    def skip(self, rows: dict[str, int]) -> None:
        """Take rows back that steps counted but that were skipped, by kind of damage."""
        for kind, number in rows.items():
            self.skipped[kind] = self.skipped.get(kind, 0) + number
            self.samples -= number
            self.skipped_in_epoch += number

    def end_epoch(self) -> None:
        """Move to the start of the next epoch."""
        self.epoch += 1
        self.step_in_epoch = 0
        self.skipped_in_epoch = 0

    def record(self, value: float, metrics: dict[str, float], higher_is_better: bool) -> bool:
        """Note an evaluation; whether it is the best so far. A NaN value (one class alone) is only better than nothing."""
        worst = -math.inf if higher_is_better else math.inf
        best = worst if self.best is None or math.isnan(self.best) else self.best
        better = self.best is None or (value > best if higher_is_better else value < best)
        if better:
            self.best, self.best_step, self.best_metrics, self.without_gain = value, self.step, metrics, 0
        else:
            self.without_gain += 1
        return better

    def finished(self, config: Config) -> bool:
        """Whether the configured end is reached."""
        out_of_patience = config.evaluate.patience is not None and self.without_gain >= config.evaluate.patience
        out_of_steps = config.train.steps is not None and self.step >= config.train.steps
        return self.epoch >= config.train.epochs or out_of_steps or out_of_patience

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Clock(**fields)`."""
        return asdict(self)
