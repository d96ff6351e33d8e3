"""What a person sees of a study in the terminal: tables that fit it, and the conclusion in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recsys.evaluation.page.digits import decimals_of
from recsys.study.analysis.conclusion import RULE
from recsys.study.findings import Entry, Findings, Group, Spread, StudyTask

_BESIDE = 3  # columns beside a cell: padding and the box
_NAME = 30  # columns of an entry's name at most; longer ones are folded


class Column(NamedTuple):
    """A heading and a cell for each entry; lines within either are shown below each other."""

    heading: str
    cells: list[str]

    @property
    def width(self) -> int:
        return max(cell_len(line) for text in (self.heading, *self.cells) for line in text.splitlines() or [""])


def show(console: Console, findings: Findings) -> None:
    """Print each group's tables, the conclusion, the rule behind it, what is missing, and warnings."""
    for group in findings.groups:
        title = f"{findings.study}, {group.architecture}: test split, mean ± standard deviation over seeds"
        console.print(f"\n{title}", style="bold", highlight=False, markup=False)
        entries = ranked(group.entries)
        for part in packed(names_of(entries), columns_of(group, entries, findings.tasks), console.width):
            console.print(_table(part))
        console.print(legend(group), style="dim", highlight=False, markup=False)
    for sentence in findings.conclusion:
        console.print(f"- {sentence}", highlight=False, markup=False)
    console.print(RULE, style="dim", highlight=False, markup=False)
    for what, children in (("missing", findings.missing), ("failed", findings.failed)):
        if children:
            told = f"{len(children)} of the study's children {'are' if len(children) > 1 else 'is'} {what}: {', '.join(children)}"
            console.print(told, style="yellow", highlight=False, markup=False)
    for note in findings.notes:
        console.print(f"note: {note}", style="dim", highlight=False, markup=False)
    for warning in findings.warnings:
        console.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)


def ranked(entries: Sequence[Entry]) -> list[Entry]:
    """By mean rank, those without one last."""
    return sorted(entries, key=lambda entry: math.inf if math.isnan(entry.mean_rank) else entry.mean_rank)


def packed(names: Column, columns: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in tables no wider than `width`, each with the names in front; a column is never cut."""
    tables: list[list[Column]] = []
    used = width + 1
    for column in columns:
        needed = column.width + _BESIDE
        if used + needed > width:
            tables.append([names])
            used = 1 + names.width + _BESIDE
        tables[-1].append(column)
        used += needed
    return tables


def names_of(entries: Sequence[Entry]) -> Column:
    """Folded where they are long."""
    return Column("strategy", ["\n".join(_folded(entry.name)) for entry in entries])


def columns_of(group: Group, entries: Sequence[Entry], tasks: Sequence[StudyTask]) -> list[Column]:
    """Everything that the terminal shows of each entry."""

    def column(heading: str, cell: Callable[[Entry], str]) -> Column:
        return Column(heading, [cell(entry) for entry in entries])

    of_tasks = [_task_column(task, entries) for task in tasks]
    columns = [
        column("seeds", lambda entry: f"{len(entry.seeds)}"),
        *of_tasks,
        column(f"delta-m, %\n95 % interval\nto {group.reference or '–'}", _delta_m),
        column("mean\nrank", lambda entry: _number(entry.mean_rank, 1)),
        column("beyond doubt\nto equal", _verdicts),
        column("runs won\nto equal", lambda entry: f"{entry.seeds_won:g} / {entry.blocks}" if entry.blocks else "–"),
        column("s a step\n/ equal", lambda entry: _number(entry.step_cost, 2)),
        column("cpu s\n/ equal", lambda entry: _number(entry.cpu_step_cost, 2)),
        column("peak\nGB", lambda entry: _number(entry.peak_memory / 1e9, 2)),
        column("conflict", lambda entry: _number(entry.conflict, 3)),
        column("variance of\ncontributions", lambda entry: _short(entry.contribution_variance)),
    ]
    if any(entry.tried > 1 for entry in entries):
        columns.insert(1, column("settings tried,\ntrainings", lambda entry: f"{entry.tried}, {entry.search_trainings}"))
    return columns


def _task_column(task: StudyTask, entries: Sequence[Entry]) -> Column:
    arrow = "higher" if task.higher_is_better else "lower"
    spreads = [entry.test.get(task.name) for entry in entries]
    decimals = decimals_for([spread for spread in spreads if spread is not None])
    cells = ["–" if spread is None else _spread(spread, decimals) for spread in spreads]
    return Column(f"{task.name} {task.metric}\n{arrow} is better", cells)


def decimals_for(spreads: Sequence[Spread]) -> int:
    """Decimals that show two digits of the middle one of the deviations, at least four of what is below 10."""
    deviations = sorted(spread.deviation for spread in spreads if spread.deviation > 0)
    means = [abs(spread.mean) for spread in spreads if not math.isnan(spread.mean)] or [0.0]
    if not deviations:
        return decimals_of(math.nan, math.nan, max(means))
    middle = deviations[len(deviations) // 2]
    return max(decimals_of(-middle, middle), 4 if max(means) < 10 else 0)


def _spread(spread: Spread, decimals: int) -> str:
    if math.isnan(spread.mean):
        return "–"
    deviation = "" if math.isnan(spread.deviation) else f" ± {spread.deviation:.{decimals}f}"
    return f"{spread.mean:.{decimals}f}{deviation}"


def _delta_m(entry: Entry) -> str:
    found = entry.delta_m
    if math.isnan(found.value):
        return "–"
    interval = "" if math.isnan(found.low) else f"  {found.low:+.2f} {found.high:+.2f}"
    return f"{found.value:+.2f}{interval}"


def _verdicts(entry: Entry) -> str:
    if entry.strategy == "equal":
        return "–"
    lines = [f"▲ {task}" for task in entry.better] + [f"▼ {task}" for task in entry.worse]
    return "\n".join(lines) or "◆ no task"


def legend(group: Group) -> str:
    """What the signs and ranks of a group's table mean."""
    parts = ["▲ better, ▼ worse, ◆ can't be told apart, after correction"]
    ranking = group.ranking
    if ranking.blocks:
        parts.append(
            f"mean rank over {ranking.blocks} blocks of task and seed, by which ranks closer than {ranking.critical_difference:.1f} "
            f"can't be told apart (Nemenyi; Friedman p {_p(ranking.p)}; blocks taken as independent)"
        )
    if ranking.left_out:
        parts.append(f"not ranked, for lack of seeds: {', '.join(ranking.left_out)}")
    return "; ".join(parts)


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        table.add_column(escape(column.heading), justify="right" if place else "left", no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(escape, row))
    return table


def _folded(name: str) -> list[str]:
    """At spaces, and where a word is longer than a line."""
    lines = [""]
    for word in name.split(" "):
        pieces = [word[start : start + _NAME] for start in range(0, len(word), _NAME)] or [""]
        for piece in pieces:
            if lines[-1] and len(lines[-1]) + 1 + len(piece) <= _NAME:
                lines[-1] += f" {piece}"
            elif lines[-1]:
                lines.append(piece)
            else:
                lines[-1] = piece
    return lines


def _number(value: float, decimals: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{decimals}f}"


def _short(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2g}"


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0")
