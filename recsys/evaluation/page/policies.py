"""Policies and trade-offs: what the log says that ranking by a formula would earn, and what each task would get."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from markupsafe import Markup

from recsys.evaluation.comparison import PolicyValue, TradeOff
from recsys.evaluation.page.digits import decimals_of, fixed, interval, signed
from recsys.evaluation.page.panels import trade_off
from recsys.evaluation.page.strips import axis, strip
from recsys.evaluation.page.svg import Scale
from recsys.evaluation.page.view import View

ESTIMATORS = {"logged": "as logged", "ips": "IPS", "snips": "SNIPS", "doubly_robust": "doubly robust"}
_ALL_PAIRS = 3  # objectives up to which each pair has a panel; with more, the first against each other


@dataclass(frozen=True)
class PolicyRow:
    """An estimate, as text and as a strip; `against`: its difference to the baseline's."""

    part: PolicyValue
    estimator: str
    value: str
    interval: str
    against: str
    strip: Markup


@dataclass(frozen=True)
class PolicyTable:
    """The estimates of a reward on one axis; `groups` by candidate and formula."""

    reward: str
    axis: Markup
    groups: dict[tuple[str, str], list[PolicyRow]]


def policy_tables(view: View) -> list[PolicyTable]:
    """A table a reward."""
    rewards: dict[str, list[PolicyValue]] = {}
    for part in view.comparison.policies:
        rewards.setdefault(part.reward, []).append(part)
    return [_table(view, reward, parts) for reward, parts in rewards.items()]


def _table(view: View, reward: str, parts: Sequence[PolicyValue]) -> PolicyTable:
    scale = Scale.around(value for part in parts for value in (part.value, part.low, part.high))
    groups: dict[tuple[str, str], list[PolicyRow]] = {}
    for part in parts:
        groups.setdefault((part.candidate, part.formula), []).append(_row(view, part, scale))
    return PolicyTable(reward, axis(scale), groups)


def _row(view: View, part: PolicyValue, scale: Scale) -> PolicyRow:
    decimals = max(decimals_of(part.low, part.high, part.value), 3)
    value, around = fixed(part.value, decimals), interval(part.low, part.high, decimals)
    label = f"{part.candidate}, {part.formula}: {part.reward} by {ESTIMATORS[part.estimator]} {value}, 95 % interval {around}"
    style = "logged" if part.estimator == "logged" else f"s{view.series.get(part.candidate, 0) % 6}"
    drawn = strip(scale, part.value, part.low, part.high, label, style=style)
    return PolicyRow(part, ESTIMATORS[part.estimator], value, around, _against(part), drawn)


def _against(part: PolicyValue) -> str:
    if math.isnan(part.difference) or part.estimator == "logged":
        return ""
    decimals = max(decimals_of(part.difference_low, part.difference_high, part.difference), 3)
    return f"{signed(part.difference, decimals)} {interval(part.difference_low, part.difference_high, decimals, sign=True)}"


@dataclass(frozen=True)
class TradeOffs:
    """Points with their numbers and their candidates' numbers, the objectives, and a panel for each pair of these."""

    points: list[tuple[int, int, TradeOff]]
    objectives: list[str]
    panels: list[Markup]


def trade_offs_of(view: View) -> TradeOffs | None:
    """None where no formula was measured."""
    parts = view.comparison.trade_offs
    if not parts:
        return None
    objectives = list(dict.fromkeys(name for part in parts for name in part.values))
    points = [(number, view.series.get(part.candidate, 0), part) for number, part in enumerate(parts, start=1)]
    pairs = list(combinations(objectives, 2)) if len(objectives) <= _ALL_PAIRS else [(objectives[0], other) for other in objectives[1:]]
    return TradeOffs(points, objectives, [trade_off(x, y, points) for x, y in pairs])
