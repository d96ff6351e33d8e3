"""What an epoch's order follows from, small enough for every checkpoint, and what of it has changed since."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

from recsys.data.plan import Plan
from recsys.data.source import SourceFile

Fingerprint = dict[str, Any]
_KEYS = {"seed": "run.seed", "batch_size": "data.batch_size", "streams": "data.streams", "window": "data.window", "shuffle": "shuffling"}


def fingerprint(plan: Plan, files: Sequence[SourceFile]) -> Fingerprint:
    """Fit for JSON: the numbers of the plan, and the footer's digest of each file by its path below the folder that all are in.

    Two equal fingerprints have the same rows in the same order, on any number of ranks and wherever the files were moved together.
    """
    return {
        "seed": plan.seed,
        "batch_size": plan.step_rows * plan.streams,
        "streams": plan.streams,
        "window": plan.window_rows,
        "shuffle": plan.shuffle,
        "files": dict(zip(short_names([file.name for file in files]), (file.footer for file in files), strict=True)),
    }


def short_names(names: Sequence[str]) -> list[str]:
    """Files by their path below the folder that all are in."""
    folder = os.path.commonprefix(names).rpartition("/")[0] + "/"  # noqa: RUF071 (some names may be URIs)
    return [name.removeprefix(folder) for name in names]


def digest(of: Fingerprint) -> str:
    """The fingerprint in 16 hexadecimal digits."""
    return hashlib.blake2b(json.dumps(of, sort_keys=True).encode(), digest_size=8).hexdigest()


def difference(before: Fingerprint, now: Fingerprint) -> str | None:
    """What has changed, in a few words; None when nothing has."""
    keys = [f"{name} was {before[key]} and is {now[key]}" for key, name in _KEYS.items() if before[key] != now[key]]
    return ", ".join([*keys, *_changed_files(before["files"], now["files"])]) or None


def _changed_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    kinds = {
        "gone": [name for name in before if name not in now],
        "new": [name for name in now if name not in before],
        "replaced": [name for name in before if name in now and before[name] != now[name]],
    }
    return [
        f"{names[0]} is {kind}" if len(names) == 1 else f"{names[0]} and {len(names) - 1} more files are {kind}"
        for kind, names in kinds.items()
        if names
    ]
