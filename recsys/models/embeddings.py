"""The embedding tables of a layout, and what a batch looks up in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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
from recsys.data.layout import Layout, Slot
from recsys.models.segments import row_of_each, segment_mean, segment_sum


@dataclass
class Embedded:
    """What a batch of B rows looked up.

    features: `id` and `ids` features, (B, D) each. histories: items of sequences; values (N, D), lengths (B,).
    """

    features: dict[str, Tensor]
    histories: dict[str, JaggedTensor]


class Embeddings(nn.Module):
    """All tables: an EmbeddingBagCollection for pooled ones, an EmbeddingCollection a width for those that sequences use.

    `prefix` is put in front of the tables' names, so that several copies of a layout can live in one model. On the meta device the
    tables take no memory until they are sharded. `tables` gives each table by its name in the module.
    TorchRec only sums; means are made of sums here. Its own mean pooling goes by the table, so that features with different poolings
    could not share one, and is wrong where row-wise tables lie beside others (all of a collection's bags are divided by their lengths).
    """

    def __init__(self, layout: Layout, prefix: str = "", device: torch.device | None = None) -> None:
        super().__init__()
        names = {spec.name: prefix + table_key(spec.name) for spec in layout.tables.values()}
        self.tables = {names[spec.name]: spec for spec in [*layout.pooled_tables, *layout.unpooled_tables]}
        bags = [
            EmbeddingBagConfig(
                name=names[spec.name],
                num_embeddings=spec.rows,
                embedding_dim=spec.dimension,
                feature_names=_keys(layout.pooled, spec.name),
                pooling=PoolingType.SUM,
            )
            for spec in layout.pooled_tables
        ]
        self.bags = EmbeddingBagCollection(bags, device=device) if bags else None
        self.items = nn.ModuleDict()
        for dimension in dict.fromkeys(spec.dimension for spec in layout.unpooled_tables):
            items = [
                EmbeddingConfig(
                    name=names[spec.name],
                    num_embeddings=spec.rows,
                    embedding_dim=spec.dimension,
                    feature_names=_keys(layout.unpooled, spec.name),
                )
                for spec in layout.unpooled_tables
                if spec.dimension == dimension
            ]
            self.items[str(dimension)] = EmbeddingCollection(items, device=device)
        self._pooled, self._unpooled = layout.pooled, layout.unpooled

    def forward(self, batch: Batch) -> Embedded:
        """Everything by name: the order of keys inside a sharded collection's output depends on the plan."""
        features = {}
        if self.bags is not None:
            pooled = self.bags(batch.sparse).to_dict()
            features.update({slot.key: _divide(slot, pooled[slot.key], batch.sparse) for slot in self._pooled})
        found: dict[str, JaggedTensor] = {}
        for collection in self.items.values():
            found.update(collection(batch.sequence))
        features.update({slot.key: _pool(slot, found[slot.key]) for slot in self._unpooled if slot.sequence is None})
        return Embedded(features, {slot.key: found[slot.key] for slot in self._unpooled if slot.sequence is not None})


def table_key(name: str) -> str:
    """A table's name as modules spell it: TorchRec cuts names at the dots that `SEQUENCE.COLUMN` has."""
    return name.replace(".", "/")


def _keys(slots: Iterable[Slot], table: str) -> list[str]:
    return [slot.key for slot in slots if slot.table == table]


def _divide(slot: Slot, sums: Tensor, ids: KeyedJaggedTensor) -> Tensor:
    """(B, D) of a feature on a pooled table, from its sums."""
    if slot.pooling != "mean":
        return sums
    lengths = ids.lengths().view(len(ids.keys()), -1)[ids.keys().index(slot.key)]
    return sums / lengths.clamp(min=1).unsqueeze(1)


def _pool(slot: Slot, found: JaggedTensor) -> Tensor:
    """(B, D) of an `id` or `ids` feature on a table that is not pooled."""
    values, lengths = found.values(), found.lengths()
    if slot.pooling is None:
        return values
    reduce = segment_mean if slot.pooling == "mean" else segment_sum
    return reduce(values, row_of_each(lengths, values.size(0)), lengths)
