"""The embedding tables of a layout, and what a batch looks up in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchrec import (
    EmbeddingBagCollection,
    EmbeddingBagConfig,
    EmbeddingCollection,
    EmbeddingConfig,
    JaggedTensor,
    KeyedJaggedTensor,
    PoolingType,
)

from recsys.data.batch import Batch
from recsys.data.features.feature import Slot, TableSpec
from recsys.data.layout import Layout
from recsys.models.managed import managed_bags
from recsys.models.segments import row_of_each, segment_mean, segment_sum


@dataclass
class Embedded:
    """What a batch of B rows looked up.

    features: `id` and `ids` features, (B, D) each. histories: items of sequences; values (N, D), lengths (B,).
    """

    features: dict[str, Tensor]
    histories: dict[str, JaggedTensor]


class Embeddings(nn.Module):
    """All tables: an EmbeddingBagCollection for pooled ones, one for weighted ones and one for managed ones, an EmbeddingCollection a width
    for those that sequences use.

    `prefix` is put in front of the tables' names, so that several copies of a layout can live in one model. On the meta device the
    tables take no memory until they are sharded. `tables` gives each table by its name in the module, `lengths` the most ids that a row
    of a batch has for each of its features.
    TorchRec only sums; means are made of sums here. Its own mean pooling goes by the table, so that features with different poolings
    could not share one, and is wrong where row-wise tables lie beside others (all of a collection's bags are divided by their lengths).
    """

    def __init__(self, layout: Layout, prefix: str = "", device: torch.device | None = None) -> None:
        super().__init__()
        self.tables = {prefix + table_key(spec.name): spec for spec in layout.tables_of(layout.slots)}
        self.lengths = {prefix + table_key(spec.name): _lengths(layout, spec) for spec in layout.tables_of(layout.slots)}
        self.bags = _bags(layout, layout.pooled, prefix, device)
        self.weighted_bags = _bags(layout, layout.weighted, prefix, device)
        self.managed = _managed(layout, prefix, device)
        self.items = nn.ModuleDict()
        unpooled = layout.tables_of(layout.unpooled)
        for dimension in dict.fromkeys(spec.dimension for spec in unpooled):
            specs = [spec for spec in unpooled if spec.dimension == dimension]
            items = [EmbeddingConfig(**_table(spec, layout.unpooled, prefix)) for spec in specs]
            self.items[str(dimension)] = EmbeddingCollection(items, device=device)
        self._pooled, self._weighted, self._unpooled = layout.pooled, layout.weighted, layout.unpooled

    def forward(self, batch: Batch) -> Embedded:
        """Everything by name: the order of keys inside a sharded collection's output depends on the plan."""
        features: dict[str, Tensor] = {}
        for bags, slots, ids in ((self.bags, self._pooled, batch.sparse), (self.weighted_bags, self._weighted, batch.weighted)):
            if bags is not None:
                sums = bags(ids).to_dict()
                features.update({slot.key: _divide(slot, sums[slot.key], ids) for slot in slots})
        if self.managed is not None:
            features.update(self.managed(batch.managed)[0].to_dict())
        found: dict[str, JaggedTensor] = {}
        for collection in self.items.values():
            found.update(collection(_without_weights(batch.sequence)))
        features.update({slot.key: _pool(slot, found[slot.key], batch.sequence) for slot in self._unpooled if slot.sequence is None})
        return Embedded(features, {slot.key: found[slot.key] for slot in self._unpooled if slot.sequence is not None})


def _bags(layout: Layout, slots: list[Slot], prefix: str, device: torch.device | None) -> EmbeddingBagCollection | None:
    """The tables of some slots, which sum; weighted where one of the slots is."""
    if not slots:
        return None
    bags = [EmbeddingBagConfig(**_table(spec, slots, prefix), pooling=PoolingType.SUM) for spec in layout.tables_of(slots)]
    return EmbeddingBagCollection(bags, is_weighted=any(slot.weighted for slot in slots), device=device)


def _managed(layout: Layout, prefix: str, device: torch.device | None) -> nn.Module | None:
    """The tables that give out their rows."""
    if not layout.managed:
        return None
    specs = layout.tables_of(layout.managed)
    bags = [EmbeddingBagConfig(**_table(spec, layout.managed, prefix), pooling=PoolingType.SUM) for spec in specs]
    return managed_bags(bags, [spec.owner for spec in specs], device)


def _table(spec: TableSpec, slots: list[Slot], prefix: str) -> dict[str, Any]:
    return {
        "name": prefix + table_key(spec.name),
        "num_embeddings": spec.rows,
        "embedding_dim": spec.dimension,
        "feature_names": [slot.key for slot in slots if slot.table == spec.name],
    }


def _lengths(layout: Layout, spec: TableSpec) -> list[int]:
    return [slot.max_length or 1 for slot in layout.slots if slot.table == spec.name]


def table_key(name: str) -> str:
    """A table's name as modules spell it: TorchRec cuts names at the dots that `SEQUENCE.COLUMN` has."""
    return name.replace(".", "/")


def _without_weights(ids: KeyedJaggedTensor) -> KeyedJaggedTensor:
    """The ids alone, for a lookup that doesn't pool."""
    if ids.weights_or_none() is None:
        return ids
    return KeyedJaggedTensor(
        keys=ids.keys(),
        values=ids.values(),
        lengths=ids.lengths(),
        stride=ids.stride(),
        length_per_key=ids.length_per_key(),
        offset_per_key=ids.offset_per_key(),
    )


def _divide(slot: Slot, sums: Tensor, ids: KeyedJaggedTensor) -> Tensor:
    """(B, D) of a feature on a pooled table, from its sums."""
    if slot.pooling != "mean":
        return sums
    lengths = ids.lengths().view(len(ids.keys()), -1)[ids.keys().index(slot.key)]
    if not slot.weighted:
        return sums / lengths.clamp(min=1).unsqueeze(1)
    weights = ids[slot.key].weights().unsqueeze(1)
    return _weighted_mean(sums, weights, row_of_each(lengths, weights.size(0)), lengths)


def _weighted_mean(sums: Tensor, weights: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
    """(B, D) sums over the sums of their (N, 1) weights; zeros where these are 0, and so are the sums."""
    total = segment_sum(weights, rows, lengths)
    return sums / torch.where(total > 0, total, 1)


def _pool(slot: Slot, found: JaggedTensor, ids: KeyedJaggedTensor) -> Tensor:
    """(B, D) of a feature on a table that is not pooled."""
    values, lengths = found.values(), found.lengths()
    if slot.pooling is None:
        return values
    rows = row_of_each(lengths, values.size(0))
    if not slot.weighted:
        return (segment_mean if slot.pooling == "mean" else segment_sum)(values, rows, lengths)
    weights = ids[slot.key].weights().unsqueeze(1)
    sums = segment_sum(values * weights, rows, lengths)
    return sums if slot.pooling == "sum" else _weighted_mean(sums, weights, rows, lengths)
