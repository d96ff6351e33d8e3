"""What the page says first: the recommendation in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recsys.evaluation.comparison import Recommendation, Verdict
from recsys.evaluation.page.digits import interval, signed
from recsys.evaluation.page.view import View


@dataclass(frozen=True)
class Chip:
    """A task's verdict and the difference behind it."""

    task: str
    verdict: Verdict
    difference: str


@dataclass(frozen=True)
class Summary:
    """The page's headline, the verdict that colours it, the tasks behind each recommendation, and what was not part of the evaluation."""

    headline: str
    verdict: Verdict
    cards: list[tuple[Recommendation, list[Chip]]]
    absent: list[str]


def summarise(view: View) -> Summary:
    """The best that is recommended of any candidate is the headline."""
    cards = [(part, [_chip(view, part, task) for task in part.tasks]) for part in view.comparison.recommendations]
    return Summary(*_headline(view), cards, _absent(view))


def _headline(view: View) -> tuple[str, Verdict]:
    baseline, parts = view.comparison.baseline, view.comparison.recommendations
    if not parts:
        return f"{baseline} was measured; nothing was compared with it", "inconclusive"
    promoted = [part for part in parts if part.recommendation == "promote"]
    if promoted:
        return f"Promote {_either(promoted)}", "better"
    undecided = [part for part in parts if part.recommendation == "gather more evidence"]
    if undecided:
        return f"Keep {baseline} for now: more evidence is needed on {_either(undecided)}", "inconclusive"
    return f"Keep {baseline}", "worse"


def _chip(view: View, part: Recommendation, name: str) -> Chip:
    metrics = [task.metric for task in view.comparison.tasks if task.name == name]
    found = view.difference(part.candidate, name, metrics[0]) if metrics else None
    if found is None:
        return Chip(name, part.tasks[name], "")
    decimals = view.decimals(name, metrics[0])
    return Chip(
        name, part.tasks[name], f"{metrics[0]} {signed(found.difference, decimals)} {interval(found.low, found.high, decimals, sign=True)}"
    )


def _either(parts: Sequence[Recommendation]) -> str:
    names = [part.candidate for part in parts]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _absent(view: View) -> list[str]:
    comparison, kinds = view.comparison, {curve.kind for curve in view.comparison.curves}
    parts = {
        "slices (name columns with --slices)": view.slices,
        "several training seeds": comparison.seeds,
        "calibration curves": "calibration" in kinds,
        "ROC curves": "roc" in kinds,
        "distributions of the predictions": "scores" in kinds,
        "policies (the log needs propensities)": comparison.policies,
        "trade-offs (give a formula)": comparison.trade_offs,
    }
    return [name for name, there in parts.items() if not there]
