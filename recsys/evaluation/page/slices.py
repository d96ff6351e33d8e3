"""The heat map of slices: each task's difference where a column has a value."""

from __future__ import annotations

import math
from dataclasses import dataclass

from recsys.evaluation.comparison import Difference, Slice, TaskSummary
from recsys.evaluation.page.digits import NOTHING, decimals_of, interval, p_value, signed
from recsys.evaluation.page.view import LEVEL, View


@dataclass(frozen=True)
class Cell:
    """A difference: `heat` is the class of its colour, `mark` says how significant it is, `words` say it all."""

    value: str
    interval: str
    heat: str
    mark: str
    words: str


@dataclass(frozen=True)
class HeatRow:
    """A slice's cells, one a task."""

    value: str
    rows: float
    groups: float
    cells: list[Cell]


@dataclass(frozen=True)
class HeatMap:
    """A candidate's slices, by column."""

    candidate: str
    columns: dict[str, list[HeatRow]]
    marked: int
    cells: int


def heat_maps(view: View) -> list[HeatMap]:
    """A map for each candidate that has differences in slices."""
    maps = [_heat_map(view, candidate) for candidate in view.challengers]
    return [found for found in maps if found.cells]


def _heat_map(view: View, candidate: str) -> HeatMap:
    units = {task.name: _unit(view, task) for task in view.comparison.tasks}
    columns: dict[str, list[HeatRow]] = {}
    for where in view.slices:
        parts = [(task, view.difference(candidate, task.name, task.metric, where)) for task in view.comparison.tasks]
        if any(part for _, part in parts):
            cells = [_cell(task, part, units[task.name]) for task, part in parts]
            columns.setdefault(where.column, []).append(HeatRow(where.value, *_sizes(view, candidate, where), cells))
    cells = [cell for rows in columns.values() for row in rows for cell in row.cells if cell.value != NOTHING]
    return HeatMap(candidate, columns, sum(bool(cell.mark) for cell in cells), len(cells))


def _sizes(view: View, candidate: str, where: Slice) -> tuple[float, float]:
    """Rows and groups of the task that has the most of them in the slice."""
    found = [view.estimate(candidate, task.name, task.metric, where) for task in view.comparison.tasks]
    sizes = [(part.rows, part.groups) for part in found if part is not None]
    return max(sizes) if sizes else (math.nan, math.nan)


def _unit(view: View, task: TaskSummary) -> float:
    """The unit of colours: the margin, or without one a quarter of the largest difference in a slice."""
    if task.margin > 0:
        return task.margin
    sizes = [
        abs(part.difference) for part in view.comparison.differences if part.slice and (part.task, part.metric) == (task.name, task.metric)
    ]
    return max((size for size in sizes if math.isfinite(size)), default=0.0) / 4 or 1.0


def _cell(task: TaskSummary, part: Difference | None, unit: float) -> Cell:
    if part is None or math.isnan(part.difference):
        return Cell(NOTHING, "", "h0", "", f"{task.name}: not measured")
    decimals = decimals_of(part.low, part.high, part.difference)
    mark = "●" if part.p_holm < LEVEL else "○" if part.p_fdr < LEVEL else ""
    gain = part.difference if task.higher_is_better else -part.difference
    level = sum(abs(gain) >= unit * factor for factor in (0, 2, 4)) if mark else int(part.p < LEVEL)
    heat = f"{'b' if gain > 0 else 'w'}{level}" if level else "h0"
    value, around = signed(part.difference, decimals), interval(part.low, part.high, decimals, sign=True)
    return Cell(value, around, heat, mark, _words(task, part, value, around, gain, mark))


def _words(task: TaskSummary, part: Difference, value: str, around: str, gain: float, mark: str) -> str:
    side = "better" if gain > 0 else "worse" if gain < 0 else "equal"
    certainty = {"●": "significant (Holm)", "○": "significant (false discovery rate)", "": "not significant"}[mark]
    return f"{task.name} {task.metric}: {value} {around}, {side}, {certainty}, p {p_value(part.p)}, Holm {p_value(part.p_holm)}"
