"""`study.json`: what a study compares, and what choosing settings cost and gave."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from recsys.files import read_model
from recsys.study.child import FINAL, ROUND, Child
from recsys.training.record import write_json

Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Trial(_Part):
    """A setting that was tried on valid. value: mean gain (`log_gain`) over the search seeds; null where a training failed."""

    setting: dict[str, Any]
    value: Number
    stage: str


class Line(_Part):
    """A strategy on an architecture. given: the part of its setting that the command fixed. chosen: its whole setting, null until it is
    chosen or where it was dropped. dropped: the stage in which it was. trials: what was tried, where there was a choice. search_trainings:
    trainings that the choice cost, search_effort: what they amount to in trainings on the whole log, where halving takes samples.
    """

    strategy: str
    architecture: str
    given: dict[str, Any]
    chosen: dict[str, Any] | None = None
    dropped: str | None = None
    trials: list[Trial] = []
    search_trainings: int = 0
    search_effort: float = 0.0

    @property
    def tried(self) -> int:
        """Settings among which it was chosen, itself included."""
        return max(1, len({str(trial.setting) for trial in self.trials}))

    @property
    def halved(self) -> bool:
        """Whether a round of successive halving dropped it."""
        return self.dropped is not None and self.dropped.startswith(ROUND)

    def child(self, seed: int) -> Child | None:
        """The training that is reported; None while nothing is chosen."""
        return None if self.chosen is None else Child(self.strategy, self.architecture, seed, self.chosen, FINAL)


class Failed(_Part):
    """A child that ended without a result, why in its own line, and its log."""

    child: str
    line: str
    log: str


class StudyRecord(_Part):
    """One study.

    metric: by which settings are chosen on valid. seeds: of what is reported. search_seeds: of the trials, none of them among `seeds`
    unless the command said so.
    """

    name: str
    command: str
    created: str
    metric: str = "log_gain"
    seeds: list[int]
    search_seeds: list[int]
    grid: dict[str, list[Any]]
    versions: dict[str, str]
    lines: list[Line]
    failed: list[Failed] = []
    notes: list[str] = []

    def finals(self) -> list[Child]:
        """What is reported: all lines of a seed, then those of the next, so that what is there can be compared at any time."""
        return [child for seed in self.seeds for line in self.lines if (child := line.child(seed)) is not None]

    def save(self, path: Path) -> None:
        """Write it whole or not at all."""
        write_json(path, json.loads(self.model_dump_json()))

    @classmethod
    def load(cls, path: Path) -> StudyRecord:
        """Read what `save` wrote. Raises InputError when it is not that."""
        return read_model(cls, path, "is not the record of a study")
