"""Differences to the baseline: a forest plot a task, the spread over seeds, and the table of all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from recsys.errors import InputError
from recsys.evaluation.comparison import Difference, SeedSpread, TaskSummary, Verdict
from recsys.evaluation.names import higher_is_better
from recsys.evaluation.page.digits import decimals_of, interval, signed
from recsys.evaluation.page.strips import axis, shares, strip
from recsys.evaluation.page.svg import Scale
from recsys.evaluation.page.view import View


@dataclass(frozen=True)
class ForestRow:
    """A candidate's difference: its numbers as text and its strip."""

    candidate: str
    value: str
    interval: str
    p: float
    p_holm: float
    verdict: Verdict
    strip: Markup


@dataclass(frozen=True)
class Forest:
    """A task's differences on one axis, on which better is to the right."""

    task: TaskSummary
    axis: Markup
    rows: list[ForestRow]


def forests(view: View) -> list[Forest]:
    """A forest for each task of which a difference in the deciding metric was measured."""
    found = []
    for task in view.comparison.tasks:
        measured = [view.difference(candidate, task.name, task.metric) for candidate in view.challengers]
        parts = [part for part in measured if part is not None]
        if parts:
            found.append(_forest(view, task, parts))
    return found


def _forest(view: View, task: TaskSummary, parts: Sequence[Difference]) -> Forest:
    scale = Scale.around(
        [0.0, task.margin, -task.margin, *(end for part in parts for end in (part.low, part.high, part.difference))],
        backwards=not task.higher_is_better,
    )
    return Forest(task, axis(scale), [_row(task, part, scale, view.decimals(task.name, task.metric)) for part in parts])


def _row(task: TaskSummary, part: Difference, scale: Scale, decimals: int) -> ForestRow:
    value, around = signed(part.difference, decimals), interval(part.low, part.high, decimals, sign=True)
    label = f"{part.candidate}, {task.name} {task.metric}: difference {value}, 95 % interval {around}, {part.verdict}"
    drawn = strip(scale, part.difference, part.low, part.high, label, style=part.verdict, zero=0.0, margin=task.margin)
    return ForestRow(part.candidate, value, around, part.p, part.p_holm, part.verdict, drawn)


@dataclass(frozen=True)
class DifferenceRow:
    """A difference on all rows, with its numbers as text."""

    part: Difference
    value: str
    interval: str


def all_differences(view: View) -> list[DifferenceRow]:
    """Every difference on all rows, by task and metric."""
    parts = [part for part in view.comparison.differences if part.slice is None]
    order = [task.name for task in view.comparison.tasks]
    parts.sort(key=lambda part: (order.index(part.task) if part.task in order else len(order), part.metric))
    rows = []
    for part in parts:
        decimals = decimals_of(part.low, part.high, part.difference)
        rows.append(DifferenceRow(part, signed(part.difference, decimals), interval(part.low, part.high, decimals, sign=True)))
    return rows


@dataclass(frozen=True)
class SeedRow:
    """A candidate's differences over seeds: their mean, their strip, and the shares of rows and seeds in the variance of one."""

    spread: SeedSpread
    mean: str
    interval: str
    strip: Markup
    rows_share: float
    bar: Markup


@dataclass(frozen=True)
class SeedTable:
    """The seeds of a task's metric."""

    task: str
    metric: str
    axis: Markup
    rows: list[SeedRow]


def seed_tables(view: View) -> list[SeedTable]:
    """A table for each task and metric of which several seeds were compared."""
    groups: dict[tuple[str, str], list[SeedSpread]] = {}
    for spread in view.comparison.seeds:
        groups.setdefault((spread.task, spread.metric), []).append(spread)
    return [_seed_table(task, metric, spreads) for (task, metric), spreads in groups.items()]


def _seed_table(task: str, metric: str, spreads: Sequence[SeedSpread]) -> SeedTable:
    values = [value for spread in spreads for value in (spread.low, spread.high, spread.mean, *spread.differences)]
    scale = Scale.around([0.0, *values], backwards=_lower_is_better(metric))
    return SeedTable(task, metric, axis(scale), [_seed_row(spread, scale) for spread in spreads])


def _seed_row(spread: SeedSpread, scale: Scale) -> SeedRow:
    decimals = decimals_of(spread.low, spread.high, spread.mean)
    mean, around = signed(spread.mean, decimals), interval(spread.low, spread.high, decimals, sign=True)
    label = f"{spread.candidate}, {spread.task} {spread.metric}: mean over {len(spread.seeds)} seeds {mean}, 95 % interval {around}"
    style = "inconclusive" if not spread.low * spread.high > 0 else "better" if scale(spread.low) > scale(0.0) else "worse"
    drawn = strip(scale, spread.mean, spread.low, spread.high, label, style=style, zero=0.0, dots=spread.differences)
    variances = spread.rows_deviation**2, spread.seeds_deviation**2
    share = variances[0] / sum(variances) if sum(variances) > 0 else math.nan
    bar = shares(share, f"{share:.0%} of the variance from rows, the rest from seeds") if math.isfinite(share) else Markup("–")
    return SeedRow(spread, mean, around, drawn, share, bar)


def _lower_is_better(metric: str) -> bool:
    try:
        return not higher_is_better(metric)
    except InputError:
        return False
