"""What each section of the page shows of a group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from recsys.evaluation.comparison import Verdict
from recsys.evaluation.page.digits import NOTHING, count, decimals_of, fixed, interval, signed
from recsys.evaluation.page.strips import axis, strip
from recsys.evaluation.page.svg import Scale
from recsys.study.figures import Courses, drawn, svg
from recsys.study.findings import DELTA_M, Entry, Findings, Group, PairedDifference, Spread, StudyTask

_LABELS = {
    "trade_offs": "Each task's metric against each other, with the Pareto front",
    "weights": "Weights of the tasks over the steps, a panel for each strategy",
    "ranks": "Critical-difference diagram of the mean ranks",
}


class Row(NamedTuple):
    """A difference: its numbers as text, and its strip."""

    part: PairedDifference
    value: str
    interval: str
    strip: Markup


class Forest(NamedTuple):
    """Differences to one reference in one metric on one axis, on which better is to the right. note: what the metric is."""

    title: str
    note: str
    axis: Markup
    rows: list[Row]


class Reference(NamedTuple):
    """The forests of one reference. why: what it is."""

    name: str
    why: str
    forests: list[Forest]
    certain: int
    asked: int


class Line(NamedTuple):
    """An entry's line of the table of results: text by column."""

    entry: Entry
    cells: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """A group's part of the page. key: starts its anchors. figures: by name."""

    key: str
    group: Group
    references: list[Reference]
    headings: list[tuple[str, str]]
    lines: list[Line]
    on_valid: list[Line]
    settings: list[tuple[Entry, str]]
    figures: dict[str, Markup]


def headline(findings: Findings) -> tuple[str, Verdict]:
    """How many strategies differ from `equal` for the better alone, in all groups."""
    parts = [entry for group in findings.groups for entry in _compared(group)]
    better = [entry for entry in parts if entry.better and not entry.worse]
    if not parts:
        return "Nothing to compare with equal weights yet", "inconclusive"
    if not better:
        return f"None of {len(parts)} strategies is better than equal weights beyond doubt", "inconclusive"
    verb = "is" if len(better) == 1 else "are"
    return f"{len(better)} of {len(parts)} strategies {verb} better than equal weights beyond doubt, and worse on no task", "better"


def sections_of(findings: Findings, courses: Courses) -> list[Section]:
    """A section a group."""
    return [_section(findings, group, courses, f"g{place}") for place, group in enumerate(findings.groups)]


def _compared(group: Group) -> list[Entry]:
    return [entry for entry in group.entries if entry.strategy not in ("equal", "single")] if group.of_strategy("equal") else []


def _section(findings: Findings, group: Group, courses: Courses, key: str) -> Section:
    entries = sorted(group.entries, key=lambda entry: (math.isnan(entry.mean_rank), entry.mean_rank))
    figures = {name: svg(figure, f"{key}-{name}", _LABELS[name]) for name, figure in drawn(findings, group, courses) if name in _LABELS}
    columns = [list(_columns(findings, group, entry)) for entry in entries]
    return Section(
        key=key,
        group=group,
        references=list(_references(findings, group)),
        headings=[(heading, note) for heading, note, _, _ in columns[0]] if columns else [],
        lines=[Line(entry, [(value, small) for _, _, value, small in row]) for entry, row in zip(entries, columns, strict=True)],
        on_valid=[Line(entry, list(_valid_cells(findings, group, entry))) for entry in entries],
        settings=[(entry, ", ".join(f"{name} = {value}" for name, value in entry.setting.items())) for entry in entries if entry.setting],
        figures=figures,
    )


def _references(findings: Findings, group: Group) -> Iterator[Reference]:
    """Equal weights first; the rival last, and with it what it is compared with itself."""
    why = {
        "equal": "all weights 1, which every strategy must beat",
        "tuned": "constant weights, tuned on valid: the rival that papers leave out",
        "single": "one model a task, nothing shared",
    }
    named = {name: reason for strategy, reason in why.items() if (name := group.of_strategy(strategy)) is not None}
    if group.rival is not None and group.rival not in named:
        named[group.rival] = "the highest mean delta-m on valid"
    if group.runner_up is not None and group.runner_up not in named:
        named[group.runner_up] = "the second highest mean delta-m on valid, with which the highest is compared"
    for name, reason in named.items():
        parts = [part for part in group.differences if part.reference == name and not math.isnan(part.mean)]
        forests = [found for task in findings.tasks if (found := _forest(parts, task.name, _note(task), task.higher_is_better))]
        over_all = _forest(parts, DELTA_M, f"per cent, to {group.reference}, higher is better", True)
        certain = sum(part.verdict != "inconclusive" for part in parts if part.task != DELTA_M)
        asked = sum(part.task != DELTA_M for part in parts)
        if forests:
            yield Reference(name, reason, [*([over_all] if over_all else []), *forests], certain, asked)


def _note(task: StudyTask) -> str:
    return f"{task.metric}, {'higher' if task.higher_is_better else 'lower'} is better"


def _forest(parts: Sequence[PairedDifference], task: str, note: str, higher_is_better: bool) -> Forest | None:
    own = [part for part in parts if part.task == task]
    if not own:
        return None
    own.sort(key=lambda part: part.mean, reverse=higher_is_better)
    values = (end for part in own for end in (part.mean, part.low, part.high))
    scale = Scale.around([0.0, *values], backwards=not higher_is_better)
    decimals = sorted(decimals_of(part.low, part.high, part.mean) for part in own)[len(own) // 2]
    title = "delta-m" if task == DELTA_M else task
    return Forest(title, note, axis(scale), [_row(part, scale, decimals) for part in own])


def _row(part: PairedDifference, scale: Scale, decimals: int) -> Row:
    value, around = signed(part.mean, decimals), interval(part.low, part.high, decimals, sign=True)
    label = f"{part.entry} to {part.reference}, {part.task}: mean difference {value}, 95 % interval {around}, {part.verdict}"
    drawn_as = strip(scale, part.mean, part.low, part.high, label, style=part.verdict, zero=0.0, dots=part.differences)
    return Row(part, value, around, drawn_as)


def _columns(findings: Findings, group: Group, entry: Entry) -> Iterator[tuple[str, str, str, str]]:
    """Heading, note below it, value, and what stands small below that, of each column."""
    yield "seeds", "", count(len(entry.seeds)), ""
    for task in findings.tasks:
        decimals = _decimals([other.test[task.name] for other in group.entries])
        yield task.name, _note(task), *_spread(entry.test[task.name], decimals)
    found = entry.delta_m
    yield "delta-m, %", f"to {group.reference}", signed(found.value, 2), interval(found.low, found.high, 2, sign=True)
    yield "mean rank", "1 is best", fixed(entry.mean_rank, 1), ""
    yield "runs won", "to equal", f"{entry.seeds_won:g} of {entry.blocks}" if entry.blocks else NOTHING, ""
    yield "seconds a step", "/ equal", fixed(entry.step_cost, 2), f"{entry.seconds_per_step:.3f} s" if entry.seconds_per_step > 0 else ""
    yield "processor seconds", "a step / equal", fixed(entry.cpu_step_cost, 2), ""
    yield "peak memory", "GB", fixed(entry.peak_memory / 1e9, 2), ""
    yield "conflict", "mean", fixed(entry.conflict, 3), ""
    variance = entry.contribution_variance
    yield "variance of contributions", "mean", NOTHING if math.isnan(variance) else f"{variance:.2g}", ""


def _valid_cells(findings: Findings, group: Group, entry: Entry) -> Iterator[tuple[str, str]]:
    for task in findings.tasks:
        yield _spread(entry.valid[task.name], _decimals([other.valid[task.name] for other in group.entries]))


def _decimals(spreads: Sequence[Spread]) -> int:
    deviations = sorted(spread.deviation for spread in spreads if spread.deviation > 0)
    middle = deviations[len(deviations) // 2] if deviations else math.nan
    return max(decimals_of(-middle, middle), 4)


def _spread(spread: Spread, decimals: int) -> tuple[str, str]:
    return fixed(spread.mean, decimals), "" if math.isnan(spread.deviation) else f"± {fixed(spread.deviation, decimals)}"
