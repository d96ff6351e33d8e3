"""What paths, footers and partition names tell: the first half of a validation, and what every job looks at before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recsys.config import Config
from recsys.data.layout import label_needs, layout
from recsys.data.schema import Schema
from recsys.data.validation.findings import Findings
from recsys.data.validation.footers import Footers, check_columns, check_footers, check_types, read_footers

if TYPE_CHECKING:
    from recsys.data.validation.scan import Scan  # which needs torch

SPLITS = ("train", "valid", "test")


@dataclass
class Validation:
    """Everything that was found: of each split its footers and, after a look at all rows, its scan."""

    config: Config
    time: str | None
    footers: dict[str, Footers] = field(default_factory=dict)
    scans: dict[str, Scan] = field(default_factory=dict)
    found: Findings = field(default_factory=Findings)


def check_quickly(config: Config) -> Validation:
    """What paths, footers and partition names tell: no row is read."""
    features = layout(config.features)
    needs = [*features.needs, *label_needs(config.tasks, config.data.weight)]
    validation = Validation(config, _time_column(config))
    check_columns(config, features.needs, validation.found)
    for split in SPLITS:
        if getattr(config.data, split):
            validation.footers[split] = read_footers(config, split, needs, validation.time, validation.found)
    check_types(needs, validation.footers, validation.found)
    check_footers(config, validation.footers, validation.found)
    return validation


def _time_column(config: Config) -> str | None:
    if config.data.time:
        return config.data.time
    schema = Schema.beside(config.data.train, config.data.store)
    return schema.time if schema else None
