"""What is compared: a strategy with what is given of its setting, on an architecture; and the settings that may be chosen for it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import yaml

import emtl
from recsys.config import MtoConfig
from recsys.config_file import nearest
from recsys.errors import InputError
from recsys.study.child import ARCHITECTURES, SINGLE, TUNED, Child

ALL = "all"
REFERENCES = (SINGLE, "equal")  # what everything is measured against: never dropped
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Contestant:
    """A line of the table to be. given: dotted keys with the values that it has whatever is chosen."""

    strategy: str
    architecture: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For people: `emtl regularizer=chi2, mmoe`."""
        return f"{titled(self.strategy, self.given)}, {self.architecture}"

    def knows(self, key: str) -> bool:
        """Whether a dotted key means something to it, beyond what is given."""
        if key in self.given:
            return False
        if not key.startswith("mto."):
            return True
        return self.strategy != SINGLE and key.removeprefix("mto.") in known_options(self.strategy)

    def settings(self, grid: Grid) -> list[dict[str, Any]]:
        """What it has in each combination of the grid's values that it knows; the first is all first values."""
        keys = [key for key in grid if self.knows(key)]
        return [{**self.given, **dict(zip(keys, values, strict=True))} for values in product(*(grid[key] for key in keys))]

    def child(self, setting: Mapping[str, Any], seed: int, stage: str, sample: str = "") -> Child:
        """The training of one of its settings."""
        return Child(self.strategy, self.architecture, seed, setting, stage, sample)


def titled(strategy: str, setting: Mapping[str, Any]) -> str:
    """A strategy and its setting for people: `emtl regularizer=chi2 rho=0.1`."""
    return " ".join([strategy, *(f"{key.removeprefix('mto.')}={_short(value)}" for key, value in setting.items())])


def known_options(strategy: str) -> list[str]:
    """The keys of section `mto` that mean something to a strategy: its own (but not weights that are tuned) and those of all."""
    common = [name for name in MtoConfig.model_fields if name != "strategy"]
    return common if strategy == TUNED else [*emtl.options(strategy), *common]


def parse_strategies(text: str) -> list[tuple[str, dict[str, Any]]]:
    """`emtl,equal,fixed:weights=[1,2,3],single,tuned` or `all`. Raises InputError for what isn't known."""
    words = [word.strip() for word in re.split(r",(?![^\[]*\])", text) if word.strip()]  # not at commas within a list
    known = [*emtl.names(), SINGLE, TUNED]
    if ALL in words:
        # `fixed` without weights is `equal`; with good ones it is `tuned`.
        words = [word for word in known if word != "fixed"] + [word for word in words if ":" in word]
    parsed = [_parse(word, known) for word in words]
    for place, one in enumerate(parsed):
        if one in parsed[:place]:
            raise InputError(f"--strategies: {titled(*one)!r} is named twice")
    if not parsed:
        raise InputError("--strategies: name at least one, such as emtl,equal,tuned,single, or all")
    return parsed


def _parse(word: str, known: Sequence[str]) -> tuple[str, dict[str, Any]]:
    name, *options = word.split(":")
    if name not in known:
        raise InputError(f"--strategies: there is no strategy {name!r}{nearest(name, known)}")
    given = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals:
            raise InputError(f"--strategies {word}: {option!r} must have the form KEY=VALUE, such as emtl:regularizer=chi2:rho=0.1")
        key = key if "." in key else f"mto.{key}"
        _refuse_unknown(f"--strategies {word}", name, key)
        given[key] = _number_or(yaml.safe_load(value))
    return name, given


def _refuse_unknown(where: str, strategy: str, key: str) -> None:
    if key.startswith("mto."):
        options = [] if strategy == SINGLE else known_options(strategy)
        if key.removeprefix("mto.") not in options:
            raise InputError(f"{where}: {strategy} has no option {key.removeprefix('mto.')!r}{nearest(key.removeprefix('mto.'), options)}")


def parse_grid(options: Sequence[str], contestants: Sequence[Contestant]) -> dict[str, list[Any]]:
    """`mto.rho=0.01,0.1` -> values by key. Raises InputError for a key that no contestant knows, or one given twice.

    Values are YAML, so that a list such as `[64,32]` is one value.
    """
    grid: dict[str, list[Any]] = {}
    for option in options:
        key, equals, text = option.partition("=")
        values = [_number_or(value) for value in yaml.safe_load(f"[{text}]")] if equals else None
        if not values or "." not in key:
            raise InputError(f"--grid {option}: must have the form section.key=value,value, such as mto.rho=0.01,0.1")
        if key in grid or len(values) > len({json.dumps(value) for value in values}):
            raise InputError(f"--grid {option}: a key or a value is given twice")
        if not any(contestant.knows(key) for contestant in contestants):
            raise InputError(f"--grid {option}: none of the strategies has this option")
        grid[key] = values
    return grid


def contestants(strategies: Sequence[tuple[str, dict[str, Any]]], architectures: Sequence[str]) -> list[Contestant]:
    """Every strategy on every architecture; `single` once, because it has none. Raises InputError for an unknown architecture."""
    known = [name for name in ARCHITECTURES if name != SINGLE]
    for name in architectures:
        if name not in known:
            raise InputError(f"--architectures: there is no {name!r}{nearest(name, known)}")
    shared = [Contestant(strategy, name, given) for name in architectures for strategy, given in strategies if strategy != SINGLE]
    return [*(Contestant(SINGLE, SINGLE, given) for strategy, given in strategies if strategy == SINGLE), *shared]


def _number_or(value: Any) -> Any:
    """The number that `1e-3` is, which YAML 1.1 takes for a word."""
    return float(value) if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9.]+[eE][+-]?[0-9]+", value) else value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "[" + ",".join(map(_short, value)) + "]" if isinstance(value, list) else str(value)
