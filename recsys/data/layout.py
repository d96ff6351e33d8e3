"""Which table and which part of a batch each configured feature belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from recsys.config import Task
from recsys.data.features import Feature, SequenceFeature
from recsys.data.features.encoding import Table
from recsys.data.features.feature import Slot, TableSpec
from recsys.data.source import Need
from recsys.errors import InputError


@dataclass(frozen=True)
class Layout:
    """How features map to tables and to the parts of a Batch.

    pooled: slots of `Batch.sparse`; weighted: slots of `Batch.weighted` (all slots on tables that a weighted feature uses); unpooled: slots
    of `Batch.sequence` (all slots on tables that a sequence uses); managed: slots of `Batch.managed` (those on tables that give out rows).
    needs: the columns that are read, and as what.
    """

    features: Sequence[Feature]
    tables: dict[str, TableSpec]
    pooled: list[Slot]
    weighted: list[Slot]
    unpooled: list[Slot]
    managed: list[Slot]
    needs: list[Need]

    @property
    def slots(self) -> list[Slot]:
        """All keys, part by part."""
        return [*self.pooled, *self.weighted, *self.unpooled, *self.managed]

    @property
    def runs(self) -> list[list[Slot]]:
        """All keys, part by part: those with exactly one id a row together where they follow each other, each other one alone."""
        parts = (self.pooled, self.weighted, self.unpooled, self.managed)
        return [list(run) for part in parts for _, run in groupby(part, lambda slot: "" if slot.max_length is None else slot.key)]

    @property
    def width(self) -> int:
        """Columns of `Batch.dense`."""
        return sum(feature.width for feature in self.features)

    @property
    def sequences(self) -> list[SequenceFeature]:
        """The attended histories."""
        return [feature for feature in self.features if isinstance(feature, SequenceFeature)]

    def tables_of(self, slots: Iterable[Slot]) -> list[TableSpec]:
        """The tables that some slots use, each once."""
        return [self.tables[name] for name in dict.fromkeys(slot.table for slot in slots)]


def layout(features: Iterable[Feature]) -> Layout:
    """The layout of the configured features, in their order.

    Raises InputError when a shared table, an attention target or a name does not fit.
    """
    features = list(features)
    _refuse_repeated([feature.name for feature in features])
    tables = {table.name: table for feature in features for table in feature.tables()}
    slots = {slot.key: slot for feature in features for slot in feature.slots()}
    _refuse_repeated([slot.key for feature in features for slot in feature.slots()])
    needs = [need for feature in features for need in feature.needs(tables)]
    for feature in features:
        feature.check(slots, tables)
    attended = {slot.table for slot in slots.values() if slot.sequence}
    weighted = {slot.table for slot in slots.values() if slot.weighted} - attended
    managed = {name for name, table in tables.items() if isinstance(table.owner, Table) and table.owner.encoding == "managed"}
    for slot in slots.values():
        if slot.table in managed and (slot.max_length is not None or slot.key != slot.table):
            raise InputError(f"features: {slot.key} uses the managed table {slot.table!r}, which is for one feature of kind `id` alone")
    return Layout(
        features=features,
        tables=tables,
        pooled=[slot for slot in slots.values() if slot.table not in attended | weighted | managed],
        weighted=[slot for slot in slots.values() if slot.table in weighted],
        unpooled=[slot for slot in slots.values() if slot.table in attended],
        managed=[slot for slot in slots.values() if slot.table in managed],
        needs=needs,
    )


def label_needs(tasks: Iterable[Task], weight: str | None) -> list[Need]:
    """The columns of labels, sample spaces and weights."""
    needs = []
    for task in tasks:
        needs.append(Need(task.label, "number", False, f"the label of task {task.name!r}"))
        if task.space:
            needs.append(Need(task.space, "number", False, f"the sample space of task {task.name!r}"))
    return needs + ([Need(weight, "number", False, "data.weight")] if weight else [])


def _refuse_repeated(names: list[str]) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise InputError(f"features: the name {name!r} is given {times} times; give each feature a name of its own")
