"""The tables of metrics, one a task, and what the metrics mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from recsys.evaluation.comparison import Curve, Estimate, TaskSummary, Verdict
from recsys.evaluation.page.digits import decimals_of, interval, plain
from recsys.evaluation.page.view import View

MEANINGS = {
    "auc": "Share of (positive, negative) pairs that are ordered rightly; ties count 1/2. A duration is positive above its threshold.",
    "gauc": "AUC within each group of rows, averaged with the groups' rows as weights; groups with one class are left out and counted.",
    "auprc": "Area under the precision-recall curve as average precision.",
    "log_loss": "Mean of −log(probability of the true label), in nats.",
    "normalized_entropy": "Log loss divided by that of always predicting the share of positives; below 1 is better than knowing only that.",
    "calibration": "Mean prediction / share of positives; 1 is right, above 1 promises too much.",
    "ece": "Expected calibration error: mean over rows of |mean prediction − share of positives| of their bin, bins of equal mass.",
    "recall": "Share of a group's positives among its k highest scores, averaged over groups that have one.",
    "ndcg": "Discounted cumulative gain of a group's k highest scores over that of the best order, averaged over groups with a positive.",
    "mae": "Mean absolute error, in seconds.",
    "rmse": "Root of the mean squared error, in seconds.",
    "rmse_log1p": "Root of the mean squared error of log(1 + seconds).",
    "spearman": "Correlation of the ranks of prediction and observation.",
    "xauc": "Share of pairs of rows with different durations that are ordered rightly; equal predictions count 1/2.",
}
_BY_DURATION = "_by_duration"
_WITHIN_DURATIONS = (
    "The metric within each of ten buckets of the item's duration, with equally many rows, averaged with their rows as weights."
)


@dataclass(frozen=True)
class MetricCell:
    """A candidate's metric; `verdict` on its difference to the baseline, where one was judged."""

    value: str
    interval: str
    verdict: Verdict | None


@dataclass(frozen=True)
class MetricTable:
    """A task's metrics of every candidate. left_out: groups that had no value, by metric, where there are any."""

    task: TaskSummary
    rows: list[tuple[str, list[MetricCell | None]]]
    groups: int
    left_out: dict[str, int]


def metric_tables(view: View) -> list[MetricTable]:
    """A table for each task that was measured."""
    tables = [_table(view, task) for task in view.comparison.tasks]
    return [table for table in tables if table.rows]


def meanings(view: View) -> dict[str, str]:
    """What the metrics of this comparison mean, by name, in the order of `MEANINGS`."""
    measured = {part.metric for part in view.comparison.estimates}
    names = {stem: ", ".join(sorted(name for name in measured if name.partition("@")[0] == stem)) for stem in MEANINGS}
    found = {names[stem]: meaning for stem, meaning in MEANINGS.items() if names[stem]}
    by_duration = ", ".join(sorted(name for name in measured if name.endswith(_BY_DURATION)))
    return found | ({by_duration: _WITHIN_DURATIONS} if by_duration else {})


def _table(view: View, task: TaskSummary) -> MetricTable:
    own = [part for part in view.comparison.estimates if part.task == task.name and part.slice is None]
    names = sorted(dict.fromkeys(part.metric for part in own), key=lambda name: name != task.metric)
    rows = [(name, [_cell(view, candidate, task, name) for candidate in view.names]) for name in names]
    return MetricTable(task, rows, max((part.groups for part in own), default=0), _left_out(own))


def _left_out(parts: Sequence[Estimate]) -> dict[str, int]:
    return {part.metric: part.left_out for part in parts if part.left_out}


def _cell(view: View, candidate: str, task: TaskSummary, metric: str) -> MetricCell | None:
    part = view.estimate(candidate, task.name, metric)
    if part is None:
        return None
    difference = view.difference(candidate, task.name, metric)
    decimals = max(decimals_of(part.low, part.high, part.value), 4 if abs(part.value) < 1 else 0)
    return MetricCell(plain(part.value), interval(part.low, part.high, decimals), difference.verdict if difference else None)


@dataclass(frozen=True)
class CalibrationRow:
    """A bin of a calibration curve."""

    task: str
    candidate: str
    bin: int
    rows: float
    predicted: float
    observed: float
    interval: str


def calibration_rows(view: View) -> list[CalibrationRow]:
    """The bins of all calibration curves, by task."""
    return [row for task in view.comparison.tasks for _, curve in view.curves("calibration", task.name) for row in _bins(curve)]


def _bins(curve: Curve) -> list[CalibrationRow]:
    parts = zip_longest(curve.x, curve.y, curve.low, curve.high, curve.rows, fillvalue=math.nan)
    return [
        CalibrationRow(curve.task, curve.candidate, number, rows, x, y, interval(low, high, decimals_of(low, high, y)))
        for number, (x, y, low, high, rows) in enumerate(parts, start=1)
    ]
