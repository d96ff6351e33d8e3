"""Choosing settings on the valid split, by trainings whose seeds are not among those that are reported."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.study.analysis.delta_m import log_gain
from recsys.study.child import SEARCH, TUNED, Child
from recsys.study.contestant import Contestant, Grid
from recsys.study.findings import StudyTask
from recsys.study.outcome import Outcome
from recsys.study.record import Line, StudyRecord, Trial
from recsys.study.tuning import Space, tune

Setting = Mapping[str, Any]
ALL_FAILED = "every trial failed"


@dataclass(frozen=True)
class Arm:
    """One setting of one line."""

    contestant: Contestant
    line: Line
    setting: Setting


class Search:
    """Trains settings with every search seed, and notes in the record what came of it and what it cost."""

    def __init__(
        self, run: Callable[[Sequence[Child]], list[Outcome]], record: StudyRecord, tasks: Sequence[StudyTask], save: Callable[[], None]
    ) -> None:
        self._run, self._record, self._tasks, self._save = run, record, tasks, save

    def by_grid(self, arms: Sequence[Arm]) -> None:
        """Try the settings of lines that have several, and choose each line's best; where there is only one it is chosen untried."""
        several = _several(arms)
        self.try_out(several, SEARCH)
        for arm in arms:
            if arm not in several:
                arm.line.chosen = dict(arm.setting)
        for line in {id(arm.line): arm.line for arm in several}.values():
            self.choose(line)
        self._save()

    def trainings(self, arms: Sequence[Arm]) -> int:
        """That `by_grid` takes."""
        return len(_several(arms)) * len(self._record.search_seeds)

    def tuned(self, contestant: Contestant, line: Line, grid: Grid, trials: int, between: tuple[float, float]) -> None:
        """Try fixed weights, and with them what the grid says of other sections, as Optuna proposes."""

        def values(settings: Sequence[Setting]) -> list[float]:
            return self.try_out([Arm(contestant, line, setting) for setting in settings], SEARCH)

        choices = {key: grid[key] for key in grid if contestant.knows(key)}
        space = Space([task.name for task in self._tasks], between, choices, contestant.given)
        tune(space, trials, self._record.search_seeds[0], values)
        self.choose(line)
        self._save()

    def try_out(self, arms: Sequence[Arm], stage: str, sample: str = "", effort: float = 1.0) -> list[float]:
        """Each arm's mean gain on valid over the search seeds, NaN where a training failed. sample: file of the rows that are trained on.

        effort: of a training, in trainings on the whole log.
        """
        seeds = self._record.search_seeds
        children = [[arm.contestant.child(arm.setting, seed, stage, sample) for seed in seeds] for arm in arms]
        outcomes = {outcome.child.name: outcome for outcome in self._run([child for group in children for child in group])}
        values = []
        for arm, group in zip(arms, children, strict=True):
            found = [self._gain(outcomes[child.name]) for child in group if child.name in outcomes]
            values.append(sum(found) / len(found) if len(found) == len(group) else math.nan)
            arm.line.trials.append(Trial(setting=dict(arm.setting), value=values[-1], stage=stage))
            arm.line.search_trainings += len(group)
            arm.line.search_effort += len(group) * effort
        self._save()
        return values

    def choose(self, line: Line) -> None:
        """The setting with the best value among those of the last stage that the line was tried in; the first of equals."""
        last = (
            [trial for trial in line.trials if trial.stage == line.trials[-1].stage and not math.isnan(trial.value)] if line.trials else []
        )
        if last:
            line.chosen = dict(max(last, key=lambda trial: trial.value).setting)
        else:
            line.dropped = ALL_FAILED

    def _gain(self, outcome: Outcome) -> float:
        """In the metrics that the study reports."""
        metrics = [outcome.metrics.get(f"valid/{task.name}/{task.metric}", math.nan) for task in self._tasks]
        return float(log_gain(metrics, [task.higher_is_better for task in self._tasks]))


def _several(arms: Sequence[Arm]) -> list[Arm]:
    """Those whose line has others too."""
    return [arm for arm in arms if sum(other.line is arm.line for other in arms) > 1]


def is_tuned(contestant: Contestant) -> bool:
    """Whether its weights are searched for."""
    return contestant.strategy == TUNED
