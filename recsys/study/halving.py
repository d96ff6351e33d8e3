"""Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943): many settings on little data, few on all of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from recsys.study.child import ROUND
from recsys.study.contestant import REFERENCES
from recsys.study.search import Arm, Search


def shares(fraction: float, factor: float) -> list[float]:
    """Of the training rows, round by round; what is left of the arms after the last round is trained on all rows."""
    found = []
    while fraction < 1 - 1e-9:
        found.append(fraction)
        fraction *= factor
    return found


def kept(values: Sequence[float], factor: float) -> list[int]:
    """Places of the best 1 / factor of the values, at least one, in their order; one that failed (NaN) is kept by no means."""
    there = [place for place, value in enumerate(values) if not math.isnan(value)]
    best = sorted(there, key=lambda place: -values[place])[: math.ceil(len(values) / factor)]
    return sorted(best)


def halve(search: Search, arms: Sequence[Arm], sample: Callable[[float], Path], fraction: float, factor: float) -> list[Arm]:
    """Rounds over growing samples of the training rows, after each of which the best 1 / factor of the arms go on; the arms left.

    A line whose arms are all gone is dropped; one with several arms left keeps the best of the last round. Arms of the references, which
    everything is measured against, don't take part and stay. sample: the file with a share of the rows.
    """
    references = [arm for arm in arms if arm.contestant.strategy in REFERENCES]
    alive = [arm for arm in arms if arm not in references]
    for number, share in enumerate(shares(fraction, factor)):
        stage = f"{ROUND}{number}"
        values = search.try_out(alive, stage, str(sample(share)), effort=share)
        left = [alive[place] for place in kept(values, factor)]
        for arm in alive:
            if not any(other.line is arm.line for other in left):
                arm.line.dropped = stage
        alive = left
    return [*references, *_best_of_each_line(alive)]


def _best_of_each_line(arms: Sequence[Arm]) -> list[Arm]:
    best: dict[int, tuple[float, Arm]] = {}
    for arm in arms:
        value = next((trial.value for trial in reversed(arm.line.trials) if trial.setting == dict(arm.setting)), 0.0)
        if id(arm.line) not in best or value > best[id(arm.line)][0]:
            best[id(arm.line)] = value, arm
    return [arm for _, arm in best.values()]
