"""A validation as plain numbers: what its tables and its JSON show."""

from __future__ import annotations

from typing import Any

from recsys.data.features import Feature
from recsys.data.layout import Layout, layout
from recsys.data.times import readable
from recsys.data.validation.days import day_name
from recsys.data.validation.labels import Rates
from recsys.data.validation.scan import UNKNOWN_DAY, Scan
from recsys.data.validation.sketch import collision_share
from recsys.data.validation.validate import Validation


def record(validation: Validation) -> dict[str, Any]:
    """Everything, fit for JSON."""
    return {
        "errors": validation.found.errors,
        "warnings": validation.found.warnings,
        "splits": {split: split_record(validation, split) for split in validation.footers},
        "labels": {split: label_records(validation, part) for split, part in validation.scans.items()},
        "columns": column_records(validation),
    }


def split_record(validation: Validation, split: str) -> dict[str, Any]:
    """Files, rows and times of a split."""
    footers, part = validation.footers[split], validation.scans.get(split)
    first, last = (part.first, part.last) if part else (footers.first, footers.last)
    return {
        "rows": footers.source.rows,
        "files": len(footers.source.files),
        "row_groups": footers.groups,
        "bytes": footers.bytes,
        "from": None if first is None else readable(first),
        "to": None if last is None else readable(last),
        "repeats": part.hashes.repeats() if part else None,
    }


def label_records(validation: Validation, part: Scan) -> list[dict[str, Any]]:
    """Rates of each task, of all days and by day."""
    tasks = [task.name for task in validation.config.tasks]
    total = [_rates(name, "all", rates) for name, rates in zip(tasks, part.labels.total, strict=True)]
    days = [
        _rates(name, "unknown" if day == UNKNOWN_DAY else day_name(day), rates)
        for day, of_tasks in sorted(part.labels.days.items())
        for name, rates in zip(tasks, of_tasks, strict=True)
    ]
    return total + days


def column_records(validation: Validation) -> list[dict[str, Any]]:
    """Of each column of the training split: what is missing, the different values, and the table that they share out."""
    if "train" not in validation.scans:
        return []
    buckets = hashed_buckets(layout(validation.config.features))
    return [
        {
            "column": column,
            "missing": profile.missing / profile.rows if profile.rows else float("nan"),
            "distinct": (distinct := profile.distinct.estimate()),
            "longest_list": profile.longest,
            "buckets": buckets.get(column),
            "collisions": collision_share(distinct, buckets[column]) if column in buckets else None,
        }
        for column, profile in validation.scans["train"].columns.items()
    ]


def hashed_buckets(features: Layout) -> dict[str, int]:
    """The buckets of each column whose ids are hashed into a table."""
    return {column: rows for feature in features.features for column, rows in _hashed(feature, features).items()}


def _hashed(feature: Feature, features: Layout) -> dict[str, int]:
    ids = [need for need in feature.needs(features.tables) if need.kind == "id"]
    slots = [slot for slot in feature.slots() if getattr(features.tables[slot.table].owner, "encoding", None) == "hash"]
    if len(ids) != len(slots):  # a cross has several columns for one table
        return {}
    return {need.column: features.tables[slot.table].rows - 1 for need, slot in zip(ids, slots, strict=True)}


def _rates(task: str, day: str, rates: Rates) -> dict[str, Any]:
    return {"task": task, "day": day, **vars(rates), "rate": rates.rate, "mean": rates.mean}
