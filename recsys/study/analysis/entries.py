"""Which outcomes are one entry: a strategy with one setting on one architecture, over its seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recsys.study.child import FINAL, SINGLE, Child
from recsys.study.outcome import Outcome


@dataclass(frozen=True)
class Runs:
    """An entry's final runs by seed. tried: settings of its strategy on its architecture, in any stage, this one included."""

    name: str
    strategy: str
    setting: Mapping[str, Any]
    tried: int
    by_seed: Mapping[int, Outcome]


def entries_of(outcomes: Sequence[Outcome]) -> dict[str, list[Runs]]:
    """The entries of each architecture, in the order of their names; single-task models stand in every group."""
    final = [outcome for outcome in outcomes if outcome.child.stage == FINAL]
    architectures = sorted({outcome.child.architecture for outcome in final if outcome.child.strategy != SINGLE})
    return {
        architecture: _entries([outcome for outcome in outcomes if _stands_in(outcome.child, architecture)])
        for architecture in architectures or sorted({outcome.child.architecture for outcome in final})
    }


def _stands_in(child: Child, architecture: str) -> bool:
    return child.architecture == architecture or child.strategy == SINGLE


def _entries(outcomes: Sequence[Outcome]) -> list[Runs]:
    settings: dict[str, dict[str, dict[int, Outcome]]] = {}
    tried: dict[str, set[str]] = {}
    for outcome in outcomes:
        child, key = outcome.child, json.dumps(dict(outcome.child.setting), sort_keys=True)
        tried.setdefault(child.strategy, set()).add(key)
        if child.stage == FINAL:
            settings.setdefault(child.strategy, {}).setdefault(key, {})[child.seed] = outcome
    return [
        Runs(_name(strategy, key, of_strategy), strategy, json.loads(key), len(tried[strategy]), by_seed)
        for strategy, of_strategy in sorted(settings.items())
        for key, by_seed in sorted(of_strategy.items())
    ]


def _name(strategy: str, key: str, settings: Mapping[str, object]) -> str:
    """The strategy's, and its setting's where several of that strategy are compared."""
    if len(settings) == 1:
        return strategy
    setting = json.loads(key)
    return " ".join([strategy, *(f"{name.removeprefix('mto.')}={_short(value)}" for name, value in setting.items())])


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
