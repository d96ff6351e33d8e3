"""How candidates are named on the command line: `[NAME=]SOURCE[,SOURCE ...]`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from recsys.errors import InputError

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_][\w.+@-]*)=(?P<sources>.+)", re.S)


@dataclass(frozen=True)
class Spec:
    """A candidate as it was typed: its name, and the models that are its training seeds (or the one model, or file of scores)."""

    name: str
    sources: tuple[str, ...]
    text: str


def parse_specs(given: Sequence[str]) -> list[Spec]:
    """Read candidates. Raises InputError when there are fewer than two, or two have one name."""
    specs = [_parse(text) for text in given]
    for name, times in Counter(spec.name for spec in specs).items():
        if times > 1:
            raise InputError(f"{times} candidates are called {name!r}; write NAME=SOURCE to give each a name of its own")
    if len(specs) < 2:
        raise InputError("one candidate can't be compared; name two or more, the baseline first (or with --baseline NAME)")
    return specs


def _parse(text: str) -> Spec:
    match = _NAMED.fullmatch(text)
    sources = tuple(part.strip() for part in (match["sources"] if match else text).split(","))
    if not all(sources):
        raise InputError(f"candidate {text!r}: a source is empty; write NAME=SOURCE, or NAME=SOURCE,SOURCE for several seeds")
    if len(set(sources)) < len(sources):
        raise InputError(f"candidate {text!r}: a source is named twice; name a model of each seed once")
    return Spec(match["name"] if match else _name_of(sources[0]), sources, text)


def _name_of(source: str) -> str:
    """`runs/emtl` is called emtl, `runs:/3f2a...` by the id's first 8 digits, `models:/ranker@champion` ranker@champion."""
    scheme, _, path = source.rpartition(":/")
    if scheme == "models":
        return path.strip("/").replace("/", "-")
    last = PurePosixPath(path if scheme == "runs" else source).name.removesuffix(".parquet")
    name = re.sub(r"[^\w.+@-]", "-", last[:8] if scheme == "runs" else last).lstrip(".-")
    if not name:
        raise InputError(f"candidate {source!r}: has no name; write NAME={source}")
    return name
