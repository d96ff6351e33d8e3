"""Formulas over the candidates' scores: what ranking by them is worth, by task and, where the log knows propensities, in reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.config import Task
from recsys.errors import InputError
from recsys.evaluation.compare.table import ScoreTable
from recsys.evaluation.comparison import PolicyValue, TradeOff
from recsys.evaluation.counterfactual import Reward, compare_policies, doubts
from recsys.evaluation.exposure import ExposureLog
from recsys.evaluation.formula import Formula, parse
from recsys.evaluation.trade_offs import Objective, trade_offs


@dataclass(frozen=True)
class Exposure:
    """Columns of the log that say who saw what. reward: what is counted; temperature 0 chooses the highest, clip bounds the weights."""

    request: str
    propensity: str
    reward: str
    shown: str | None = None
    temperature: float = 0.0
    clip: float = 100.0

    @property
    def columns(self) -> dict[str, str]:
        """What to read, and what for."""
        named = {self.request: "--request", self.propensity: "--propensity", self.reward: "--reward"}
        return named | ({self.shown: "--shown"} if self.shown else {})


@dataclass(frozen=True)
class Ranked:
    """What policies and trade-offs of some formulas came to, and what to doubt."""

    policies: list[PolicyValue]
    trade_offs: list[TradeOff]
    warnings: list[str]


def parse_all(formulas: Sequence[str], tasks: Sequence[Task]) -> list[Formula]:
    """Raises InputError for one that is none."""
    return [parse(text, [task.name for task in tasks]) for text in formulas]


def rank(
    table: ScoreTable, tasks: Sequence[Task], formulas: Sequence[Formula], runs: Mapping[str, str], baseline: str, exposure: Exposure | None
) -> Ranked:
    """Judge formulas over the scores of each candidate's first run.

    runs: by candidate, the name of its scores. Memory: 8 bytes a row, candidate and task. Raises InputError when a row has no score.
    """
    if not formulas:
        return Ranked([], [], [])
    scores = {name: {task.name: table.scores(run, task.name).astype(np.float64) for task in tasks} for name, run in runs.items()}
    _refuse_missing(scores)
    objectives = [Objective(task.name, task.kind, *_labels(table, task)) for task in tasks]
    points = trade_offs(formulas, scores, objectives)
    if exposure is None:
        return Ranked([], points, [])
    log = ExposureLog.of(
        table.log(exposure.request),
        table.numbers(exposure.shown) if exposure.shown else np.ones(table.rows),
        table.numbers(exposure.propensity),
        table.clusters,
    )
    reward = Reward(exposure.reward, table.numbers(exposure.reward), _models(tasks, exposure.reward, scores))
    settings = {"temperature": exposure.temperature}
    values = [
        value
        for formula in formulas
        for value in compare_policies(log, formula, scores, reward, baseline=baseline, clip=exposure.clip, **settings)
    ]
    return Ranked(values, points, [doubt for formula in formulas for doubt in doubts(log, formula, scores, **settings)])


def _models(tasks: Sequence[Task], reward: str, scores: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    """Where the reward is a task's label, its own scores predict it, times those of the task whose event is its sample space."""
    task = next((task for task in tasks if task.label == reward), None)
    before = next((other for other in tasks if task and task.space and other.label == task.space and not other.space), None)
    if task is None or (task.space and before is None):
        return {}
    return {name: by_task[task.name] * (by_task[before.name] if before else 1.0) for name, by_task in scores.items()}


def _labels(table: ScoreTable, task: Task) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(rows,) labels, 0 where there is none, and whether each row counts."""
    found = table.task(task, [])
    labels, counts = np.zeros(table.rows, np.float32), np.zeros(table.rows, bool)
    labels[found.rows], counts[found.rows] = found.labels, True
    return labels, counts


def _refuse_missing(scores: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> None:
    for name, by_task in scores.items():
        for task, column in by_task.items():
            if missing := int(np.isnan(column).sum()):
                raise InputError(f"--policy: candidate {name} has no score of {task} in {missing} rows; a policy ranks every row")
