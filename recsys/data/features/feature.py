"""What every kind of feature is: a section of the configuration that knows its columns, its tables and its transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.ragged import Ids
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics
from recsys.section import Name, Section

BLOCK_ROWS = 1024


def turn(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Copy (N, D) that lies row by row to where it lies column by column, or back, in blocks that stay in the second-level cache."""
    for start in range(0, len(source), BLOCK_ROWS):
        target[start : start + BLOCK_ROWS] = source[start : start + BLOCK_ROWS]


@dataclass(frozen=True)
class TableSpec:
    """An embedding table: `rows` = buckets + 1, because row 0 stands for a missing value; `dimension` columns.

    owner: the section of the configuration that says how values become its rows. Only features of the same sort may share it.
    """

    name: str
    rows: int
    dimension: int
    owner: Any = field(default=None, repr=False, compare=False)


Tables = Mapping[str, TableSpec]


@dataclass(frozen=True)
class Slot:
    """One key of a KeyedJaggedTensor and the table that its ids index.

    max_length is None where a row has exactly one id; pooling is set for `ids` features alone, weighted where each id has a weight;
    sequence names the `sequence` feature of an item column.
    """

    key: str
    table: str
    max_length: int | None = None
    pooling: str | None = None
    sequence: str | None = None
    weighted: bool = False


class Transform:
    """What a feature makes of the columns of a log, with all that it has learned. Errors name `where`, the file and row group."""

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        """The ids of its slots, in their order, for the N rows of an Arrow batch."""
        return []

    def fill(self, batch: pa.RecordBatch, where: str, dense: NDArray[np.float32]) -> None:
        """Write its own columns of the batch's numbers, (N, width), which lie in memory column by column."""


class FeatureSection(Section):
    """Base of the kinds. A kind is a module of this package with a subclass, and its line in the package's registry."""

    name: Name

    @property
    def width(self) -> int:
        """Columns of `Batch.dense` that it fills."""
        return 0

    def tables(self) -> list[TableSpec]:
        """The tables it owns."""
        return []

    def slots(self) -> list[Slot]:
        """The keys of a batch that it gives ids to."""
        return []

    def check(self, slots: Mapping[str, Slot], tables: Tables) -> None:
        """Raise InputError where it doesn't fit the other features."""

    def needs(self, tables: Tables) -> list[Need]:
        """The columns of the log that it reads."""
        raise NotImplementedError

    def measures(self) -> dict[str, Measure]:
        """What it has to learn before training, by the name under which it is kept."""
        return {}

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        """Its transform. Raises InputError when it was not measured, or under other settings."""
        raise NotImplementedError
