"""The kind `id`: one id a row."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa
from pydantic import Field

from recsys.data.features.encoding import Encoding, Table, encoding_of, reads
from recsys.data.features.feature import FeatureSection, Slot, Tables, TableSpec, Transform
from recsys.data.ragged import Ids
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics


class IdFeature(Table, FeatureSection):
    """One id a row."""

    kind: Literal["id"]
    column: str | None = Field(None, description="Column of the log; the feature's name when left out.")

    def tables(self) -> list[TableSpec]:
        return self.own_table(self.name, self.buckets)

    def slots(self) -> list[Slot]:
        return [Slot(self.name, self.table or self.name)]

    def needs(self, tables: Tables) -> list[Need]:
        return [Need(self.column or self.name, reads(self, self.name, tables), False, f"the feature {self.name!r}")]

    def measures(self) -> dict[str, Measure]:
        return self.vocabulary_measures(self.name)

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        return _Id(self.column or self.name, encoding_of(self, self.name, tables, statistics))


class _Id(Transform):
    def __init__(self, column: str, encode: Encoding) -> None:
        self._column, self._encode = column, encode

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        return [self._encode(batch.column(self._column), f"{where}, column {self._column!r}")]
