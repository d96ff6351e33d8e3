"""What a person sees of an evaluation in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recsys.evaluation.comparison import Comparison, Difference, Recommendation, TaskSummary

COLOURS = {"better": "green", "worse": "red", "inconclusive": "yellow"}
WIDEST = 1000  # columns of a terminal
MOST_SLICES = 12  # that are told of in the terminal; the page has all


def show(console: Console, comparison: Comparison) -> None:
    """Print the verdict on each challenger, the differences behind it, what stands out in slices, seeds, policies and warnings."""
    data = comparison.data
    groups = f", {data.groups:,} values of {data.group}" if data.group else ""
    when = f", {data.first_time} to {data.last_time}" if data.first_time else ""
    console.print(f"\n{data.rows:,} rows{groups}{when}", highlight=False)
    for part in comparison.recommendations:
        _show_challenger(console, comparison, part)
    _show_policies(console, comparison)
    for warning in comparison.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, soft_wrap=True)


def _show_challenger(console: Console, comparison: Comparison, part: Recommendation) -> None:
    name = part.candidate
    console.print(f"\n{name} against {comparison.baseline}: {part.verdict}", style=f"bold {COLOURS[part.verdict]}", highlight=False)
    console.print(_table(console, comparison, name))
    if any(spread.candidate == name for spread in comparison.seeds):
        console.print("intervals and p hold the spread over training seeds and that of the rows", style="dim")
    console.print(part.words, highlight=False, soft_wrap=True)
    for line in [*_others(comparison, name), *_seeds(comparison, name), *_slices(comparison, name)]:
        console.print(line if line.startswith(" ") else f"- {line}", highlight=False, soft_wrap=True)


def _table(console: Console, comparison: Comparison, name: str) -> Table:
    """A row a task. Where the terminal is too narrow for it the interval stands below the difference: no digit is cut off."""
    rows = [(task.name, *_cells(comparison, _deciding(comparison, name, task))) for task in comparison.tasks]
    headings = ("task", "metric", "baseline", name, "difference", "95 % interval", "p", "verdict")
    wide = _filled(headings, rows, no_wrap=True)
    needed = console.measure(wide, options=console.options.update(width=WIDEST)).maximum
    if needed <= console.width:
        return wide
    return _filled(_stacked(headings), [_stacked(row) for row in rows], no_wrap=False)


def _filled(headings: Sequence[str], rows: Sequence[Sequence[str]], *, no_wrap: bool) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in headings:
        left = heading in ("task", "metric", "verdict")
        table.add_column(heading, justify="left" if left else "right", no_wrap=no_wrap, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _stacked(row: Sequence[str]) -> tuple[str, ...]:
    """The row with its sixth cell below its fifth."""
    return (*row[:4], f"{row[4]}\n{row[5]}", *row[6:])


def _deciding(comparison: Comparison, candidate: str, task: TaskSummary) -> Difference:
    wanted = (candidate, task.name, task.metric, None)
    return next(part for part in comparison.differences if (part.candidate, part.task, part.metric, part.slice) == wanted)


def _cells(comparison: Comparison, part: Difference) -> list[str]:
    values = [_value(comparison, name, part) for name in (comparison.baseline, part.candidate)]
    interval = f"{_signed(part.low)} {_signed(part.high)}"
    verdict = f"[{COLOURS[part.verdict]}]{part.verdict}[/]"
    return [part.metric, *map(_number, values), _signed(part.difference), interval, _p(part.p_holm), verdict]


def _value(comparison: Comparison, candidate: str, part: Difference) -> float:
    wanted = (candidate, part.task, part.metric, part.slice)
    found = (part.value for part in comparison.estimates if (part.candidate, part.task, part.metric, part.slice) == wanted)
    return next(found)


def _others(comparison: Comparison, candidate: str) -> list[str]:
    """The metrics that don't decide and differ all the same."""
    deciding = {task.name: task.metric for task in comparison.tasks}
    parts = [part for part in comparison.differences if part.candidate == candidate and part.slice is None]
    parts = [part for part in parts if deciding[part.task] != part.metric and part.verdict != "inconclusive"]
    told = [f"{part.task} {part.metric} {_signed(part.difference)} ({part.verdict})" for part in parts]
    return [f"other metrics that differ beyond doubt: {', '.join(told)}"] if told else []


def _seeds(comparison: Comparison, candidate: str) -> list[str]:
    deciding = {task.name: task.metric for task in comparison.tasks}
    spreads = [part for part in comparison.seeds if part.candidate == candidate and deciding[part.task] == part.metric]
    return [
        f"{part.task} {part.metric} over {len(part.seeds)} seeds: {_signed(part.mean)} ({', '.join(map(_signed, part.differences))}), "
        f"95 % interval of rows and seeds {_signed(part.low)} {_signed(part.high)}; "
        f"deviation of rows {part.rows_deviation:.5f}, of seeds {part.seeds_deviation:.5f}"
        for part in spreads
    ]


def _slices(comparison: Comparison, candidate: str) -> list[str]:
    deciding = {task.name: task.metric for task in comparison.tasks}
    parts = [part for part in comparison.differences if part.candidate == candidate and part.slice and deciding[part.task] == part.metric]
    if not parts:
        return []
    certain = sorted((part for part in parts if part.verdict != "inconclusive"), key=lambda part: part.p_holm)
    questions = sum(not math.isnan(part.p) for part in parts)
    lines = [f"{len(certain)} of {questions} slices differ beyond doubt (Holm's correction; by the rows alone)"]
    for part in certain[:MOST_SLICES]:
        assert part.slice is not None
        where = f"{part.task} {part.metric} where {part.slice.column} is {part.slice.value}"
        lines.append(f"    {where}: {_signed(part.difference)} ({_signed(part.low)} {_signed(part.high)}), {part.verdict}")
    return lines


def _show_policies(console: Console, comparison: Comparison) -> None:
    if comparison.policies:
        table = Table(box=SIMPLE_HEAD, title="what the log says that choosing by a formula would earn a request", title_justify="left")
        for heading in ("candidate", "formula", "estimator", "value", "95 % interval", "to the baseline", "effective rows"):
            table.add_column(heading, justify="left" if heading in ("candidate", "formula", "estimator") else "right", overflow="fold")
        for part in comparison.policies:
            ends = f"({_signed(part.difference_low)} {_signed(part.difference_high)})"
            against = "" if math.isnan(part.difference) else f"{_signed(part.difference)} {ends}"
            interval = f"{_number(part.low)} {_number(part.high)}"
            table.add_row(
                part.candidate, part.formula, part.estimator, _number(part.value), interval, against, f"{part.effective_rows:,.0f}"
            )
        console.print(table)
    if comparison.trade_offs:
        table = Table(box=SIMPLE_HEAD, title="what ranking by a formula gives each task (* on the Pareto front)", title_justify="left")
        objectives = list(comparison.trade_offs[0].values)
        for heading in ("candidate", "formula", *objectives):
            table.add_column(heading, justify="right" if heading in objectives else "left", overflow="fold")
        for point in comparison.trade_offs:
            mark = "*" if point.on_front else ""
            table.add_row(point.candidate, point.formula + mark, *(_number(point.values[objective]) for objective in objectives))
        console.print(table)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _signed(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.4f}" if abs(value) < 10 else f"{value:+,.1f}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "<.0001" if value < 1e-4 else f"{value:.4f}".lstrip("0")
