"""Which table and which part of a batch each configured id feature belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from recsys.config import Feature, IdFeature, IdsFeature, NumberFeature, SequenceFeature
from recsys.errors import InputError


@dataclass(frozen=True)
class TableSpec:
    """An embedding table: `rows` = buckets + 1, because row 0 stands for a missing value; `dimension` columns."""

    name: str
    rows: int
    dimension: int


@dataclass(frozen=True)
class Slot:
    """One key of a KeyedJaggedTensor: where its ids come from and which table they index.

    max_length is None for an `id` feature (exactly one id a row); pooling is set for `ids` features alone;
    sequence names the `sequence` feature of an item column.
    """

    key: str
    column: str
    table: str
    buckets: int
    encoding: str
    max_length: int | None = None
    pooling: str | None = None
    sequence: str | None = None


@dataclass(frozen=True)
class Layout:
    """How features map to tables and to the parts of a Batch.

    pooled: slots of `Batch.sparse`; unpooled: slots of `Batch.sequence` (all slots on tables that a sequence uses);
    numbers: the columns of `Batch.dense`; sequences: the attended histories.
    """

    tables: dict[str, TableSpec]
    pooled: list[Slot]
    unpooled: list[Slot]
    numbers: list[NumberFeature]
    sequences: list[SequenceFeature]

    @property
    def pooled_tables(self) -> list[TableSpec]:
        """Tables of an EmbeddingBagCollection."""
        return [self.tables[name] for name in dict.fromkeys(slot.table for slot in self.pooled)]

    @property
    def unpooled_tables(self) -> list[TableSpec]:
        """Tables of an EmbeddingCollection."""
        return [self.tables[name] for name in dict.fromkeys(slot.table for slot in self.unpooled)]


def item_key(sequence: SequenceFeature, column: str) -> str:
    """The key of a sequence's item column in `Batch.sequence`."""
    return f"{sequence.name}.{column}"


def layout(features: Iterable[Feature]) -> Layout:
    """The layout of the configured features, in their order.

    Raises InputError when a shared table, an attention target or a name does not fit.
    """
    features = list(features)
    _refuse_repeated_names(features)
    owned = list(_owned_tables(features))
    tables = {name: TableSpec(name, buckets + 1, dimension) for name, buckets, dimension, _ in owned}
    encodings = {name: encoding for name, _, _, encoding in owned}
    slots = [_check_shared(slot, tables, encodings) for slot in _slots(features)]
    attended = {slot.table for slot in slots if slot.sequence}
    sequences = [feature for feature in features if isinstance(feature, SequenceFeature)]
    for sequence in sequences:
        _check_targets(sequence, {slot.key: slot for slot in slots})
    return Layout(
        tables=tables,
        pooled=[slot for slot in slots if slot.table not in attended],
        unpooled=[slot for slot in slots if slot.table in attended],
        numbers=[feature for feature in features if isinstance(feature, NumberFeature)],
        sequences=sequences,
    )


def _refuse_repeated_names(features: list[Feature]) -> None:
    names = [feature.name for feature in features]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"features: the name {name!r} is given {names.count(name)} times; give each feature a name of its own")


def _owned_tables(features: list[Feature]) -> Iterable[tuple[str, int, int, str]]:
    """(name, buckets, dimension, encoding) of each table."""
    for feature in features:
        if isinstance(feature, IdFeature | IdsFeature) and feature.buckets is not None:
            yield feature.name, feature.buckets, feature.dimension, feature.encoding
        if isinstance(feature, SequenceFeature):
            for item in feature.items:
                if item.buckets is not None:
                    yield item_key(feature, item.column), item.buckets, item.dimension, item.encoding


def _slots(features: list[Feature]) -> Iterable[Slot]:
    for feature in features:
        if isinstance(feature, IdFeature | IdsFeature):
            yield Slot(
                key=feature.name,
                column=feature.column or feature.name,
                table=feature.table or feature.name,
                buckets=feature.buckets or 0,
                encoding=feature.encoding,
                max_length=feature.max_length if isinstance(feature, IdsFeature) else None,
                pooling=feature.pooling if isinstance(feature, IdsFeature) else None,
            )
        if isinstance(feature, SequenceFeature):
            for item in feature.items:
                key = item_key(feature, item.column)
                yield Slot(key, item.column, item.table or key, item.buckets or 0, item.encoding, feature.max_length, None, feature.name)


def _check_shared(slot: Slot, tables: dict[str, TableSpec], encodings: dict[str, str]) -> Slot:
    """The slot with the size and encoding of its table, which for a shared one are the owner's."""
    if slot.table not in tables:
        raise InputError(f"features: {slot.key} shares the table {slot.table!r}, which no feature owns; tables are {', '.join(tables)}")
    return Slot(**{**vars(slot), "buckets": tables[slot.table].rows - 1, "encoding": encodings[slot.table]})


def _check_targets(sequence: SequenceFeature, slots: dict[str, Slot]) -> None:
    for item in sequence.items:
        if item.target is None:
            continue
        target, own = slots.get(item.target), slots[item_key(sequence, item.column)]
        if target is None or target.max_length is not None:
            raise InputError(f"features: {own.key} is attended with {item.target!r}, which is not an `id` feature")
        if target.table != own.table:
            raise InputError(f"features: {own.key} is attended with {item.target!r}; they must share a table: set `table: {target.table}`")
