"""Which outcomes are one entry: a strategy with one setting on one architecture, over its seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.study.child import FINAL, SINGLE, Child
from recsys.study.contestant import titled
from recsys.study.outcome import Outcome


@dataclass(frozen=True)
class Runs:
    """An entry's final runs by seed."""

    name: str
    strategy: str
    architecture: str
    setting: Mapping[str, Any]
    by_seed: Mapping[int, Outcome]


def entries_of(outcomes: Sequence[Outcome]) -> dict[str, list[Runs]]:
    """The entries of each architecture, in the order of their names; single-task models stand in every group."""
    final = [outcome for outcome in outcomes if outcome.child.stage == FINAL]
    architectures = sorted({outcome.child.architecture for outcome in final if outcome.child.strategy != SINGLE})
    return {
        architecture: _entries([outcome for outcome in final if _stands_in(outcome.child, architecture)])
        for architecture in architectures or sorted({outcome.child.architecture for outcome in final})
    }


def _stands_in(child: Child, architecture: str) -> bool:
    return child.architecture == architecture or child.strategy == SINGLE


def _entries(outcomes: Sequence[Outcome]) -> list[Runs]:
    settings: dict[str, dict[str, dict[int, Outcome]]] = {}
    for outcome in outcomes:
        child = outcome.child
        settings.setdefault(child.strategy, {}).setdefault(setting_key(child.setting), {})[child.seed] = outcome
    return [
        _runs(strategy, json.loads(key), by_seed, alone=len(of_strategy) == 1)
        for strategy, of_strategy in sorted(settings.items())
        for key, by_seed in sorted(of_strategy.items())
    ]


def setting_key(setting: Mapping[str, Any]) -> str:
    """The same for equal settings, in whatever order."""
    return json.dumps(dict(setting), sort_keys=True)


def _runs(strategy: str, setting: Mapping[str, Any], by_seed: Mapping[int, Outcome], *, alone: bool) -> Runs:
    """Called by its strategy, and by its setting where several of that strategy are compared."""
    architecture = next(iter(by_seed.values())).child.architecture
    return Runs(strategy if alone else titled(strategy, setting), strategy, architecture, setting, by_seed)
