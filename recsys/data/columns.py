"""Decoded rows, column by column, and how they become a Batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec import KeyedJaggedTensor

from recsys.data import ragged
from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.data.layout import Layout
from recsys.data.ragged import Ids, Ints, flat, flat_weights, lengths_of


@dataclass(frozen=True)
class Rows:
    """N rows: ids of each slot of the layout, in its order, and the other parts of a Batch, (N, D), (N, K), (N, K), (N,)."""

    ids: list[Ids]
    dense: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.bool_]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> Rows:
        """Consecutive rows, without a copy."""
        return Rows([ids[rows] for ids in self.ids], self.dense[rows], self.labels[rows], self.masks[rows], self.weights[rows])

    def take(self, order: Ints) -> Rows:
        """Rows in another order."""
        return Rows(ragged.take(self.ids, order), self.dense[order], self.labels[order], self.masks[order], self.weights[order])


def join(parts: Sequence[Rows]) -> Rows:
    """All rows of the parts, in their order."""
    dense, labels, masks, weights = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("dense", "labels", "masks", "weights")
    )
    return Rows(ragged.join([part.ids for part in parts]), dense, labels, masks, weights)


def to_batch(parts: Sequence[Rows], layout: Layout) -> Batch:
    """The Batch of the parts' rows."""
    dense, labels, masks, weights = (
        torch.from_numpy(np.concatenate([getattr(part, name) for part in parts])) for name in ("dense", "labels", "masks", "weights")
    )
    pooled, weighted, unpooled = len(layout.pooled), len(layout.weighted), len(layout.unpooled)
    return Batch(
        sparse=_keyed(layout.pooled, 0, parts),
        weighted=_keyed(layout.weighted, pooled, parts),
        sequence=_keyed(layout.unpooled, pooled + weighted, parts),
        managed=_keyed(layout.managed, pooled + weighted + unpooled, parts),
        dense=dense,
        labels=labels,
        masks=masks,
        weights=weights,
    )


def _keyed(own: Sequence[Slot], first: int, parts: Sequence[Rows]) -> KeyedJaggedTensor | None:
    """The ids of consecutive slots, int64, with int32 lengths; the counts by key spare the device a synchronisation."""
    if not own:
        return None
    slots = range(first, first + len(own))
    values = [[flat(part.ids[slot]) for part in parts] for slot in slots]
    ones = np.ones(sum(map(len, parts)), np.int32)
    lengths = [piece for slot in slots for piece in lengths_of([part.ids[slot] for part in parts]) or [ones]]
    counts = [sum(map(len, pieces)) for pieces in values]
    weighted = any(slot.weighted for slot in own)
    return KeyedJaggedTensor(
        keys=[slot.key for slot in own],
        values=torch.from_numpy(np.concatenate([piece for pieces in values for piece in pieces], dtype=np.int64)),
        weights=torch.from_numpy(np.concatenate([flat_weights(part.ids[slot]) for slot in slots for part in parts])) if weighted else None,
        lengths=torch.from_numpy(np.concatenate(lengths)),
        stride=len(ones),
        length_per_key=counts,
        offset_per_key=np.cumsum([0, *counts]).tolist(),
    )
