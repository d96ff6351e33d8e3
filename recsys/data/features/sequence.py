"""The kind `sequence`: aligned lists that describe a history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
from pydantic import Field, PositiveInt

from recsys.data.features.encoding import Encoding, Table, encoding_of, reads
from recsys.data.features.feature import FeatureSection, Slot, Tables, TableSpec, Transform
from recsys.data.features.lists import Lists, check_aligned, encoded
from recsys.data.ragged import Ids, Ragged
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics
from recsys.errors import InputError
from recsys.section import Layers, Name


class SequenceItem(Table):
    """One of the aligned columns that describe the elements of a sequence."""

    column: str = Field(description="List column of the log.")
    target: Name | None = Field(None, description="The `id` feature that this column is attended with; must share its table.")


class SequenceFeature(FeatureSection):
    """A history: aligned lists, attended by the candidate (DIN, arXiv:1706.06978)."""

    kind: Literal["sequence"]
    items: list[SequenceItem] = Field(min_length=1)
    max_length: PositiveInt = Field(50, description="Elements of a row that are used: the last ones.")
    attention_layers: Layers = Field([64, 32], description="Hidden layers of the attention unit.")

    def tables(self) -> list[TableSpec]:
        return [table for item in self.items for table in item.own_table(item_key(self, item.column), item.buckets)]

    def slots(self) -> list[Slot]:
        keys = [(item_key(self, item.column), item.table) for item in self.items]
        return [Slot(key, table or key, self.max_length, sequence=self.name) for key, table in keys]

    def check(self, slots: Mapping[str, Slot], tables: Tables) -> None:
        for item in self.items:
            if item.target is None:
                continue
            target, own = slots.get(item.target), slots[item_key(self, item.column)]
            if target is None or target.max_length is not None:
                raise InputError(f"features: {own.key} is attended with {item.target!r}, which is not an `id` feature")
            if target.table != own.table:
                raise InputError(f"features: {own.key} is attended with {item.target!r}; share its table: set `table: {target.table}`")

    def needs(self, tables: Tables) -> list[Need]:
        keyed = [(item_key(self, item.column), item) for item in self.items]
        return [Need(item.column, reads(item, key, tables), True, f"the feature {key!r}") for key, item in keyed]

    def measures(self) -> dict[str, Measure]:
        return {name: file for item in self.items for name, file in item.vocabulary_measures(item_key(self, item.column)).items()}

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        items = {item.column: encoding_of(item, item_key(self, item.column), tables, statistics) for item in self.items}
        return _Sequence(self.name, items, self.max_length)


def item_key(sequence: SequenceFeature, column: str) -> str:
    """The key of a sequence's item column in `Batch.sequence`."""
    return f"{sequence.name}.{column}"


class _Sequence(Transform):
    def __init__(self, name: str, items: Mapping[str, Encoding], max_length: int) -> None:
        self._name, self._items, self._max_length = name, items, max_length

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        lists = {column: Lists.of(batch.column(column)) for column in self._items}
        check_aligned(lists, where, f"sequence {self._name!r}")
        found = [
            encoded(lists[column].last(self._max_length), encode, f"{where}, column {column!r}") for column, encode in self._items.items()
        ]
        return [Ragged(own.values, found[0].offsets) for own in found]  # the same offsets, so that they are shuffled at once
