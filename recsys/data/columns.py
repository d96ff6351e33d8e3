"""Decoded rows, column by column, and how they become a Batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec import KeyedJaggedTensor

from recsys.data import ragged
from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.data.layout import Layout
from recsys.data.ragged import Block, Ints, Ragged


@dataclass(frozen=True)
class Rows:
    """N rows: ids of each of the layout's runs, in its order, and the other parts of a Batch, (N, D), (N, K), (N, K), (N,)."""

    ids: list[Block]
    dense: NDArray[np.float32]
    labels: NDArray[np.float32]
    masks: NDArray[np.bool_]
    weights: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.weights)

    def __getitem__(self, rows: slice) -> Rows:
        """Consecutive rows, without a copy."""
        ids = [block[rows] if isinstance(block, Ragged) else block[:, rows] for block in self.ids]
        return Rows(ids, self.dense[rows], self.labels[rows], self.masks[rows], self.weights[rows])

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
    blocks = zip(*(part.ids for part in parts), strict=True)
    return Batch(
        sparse=_keyed(layout.pooled, blocks),
        weighted=_keyed(layout.weighted, blocks),
        sequence=_keyed(layout.unpooled, blocks),
        managed=_keyed(layout.managed, blocks),
        dense=dense,
        labels=labels,
        masks=masks,
        weights=weights,
    )


def _keyed(own: Sequence[Slot], blocks: Iterator[Sequence[Block]]) -> KeyedJaggedTensor | None:
    """The ids of a part's slots, int64, with int32 lengths; the counts by key spare the device a synchronisation.

    blocks: of each run of slots those of all parts, of which the slots' own are taken.
    """
    if not own:
        return None
    lengths, weights, values = [], [], []
    counts: list[int] = []
    weighted = any(slot.weighted for slot in own)
    while len(counts) < len(own):
        pieces = next(blocks)
        ragged = [piece for piece in pieces if isinstance(piece, Ragged)]
        if ragged:
            values += [piece.flat for piece in ragged]
            lengths += [piece.lengths for piece in ragged]
            counts.append(sum(len(piece.flat) for piece in ragged))
            weights += [piece.flat_weights for piece in ragged] if weighted else []
        else:
            ids = np.concatenate(cast(Sequence[Ints], pieces), axis=1)
            values.append(ids.ravel())
            lengths.append(np.ones(ids.size, np.int32))
            counts += [ids.shape[1]] * len(ids)
            weights += [np.ones(ids.size, np.float32)] if weighted else []
    keys = [slot.key for slot in own]
    stacked = np.concatenate(lengths)
    return KeyedJaggedTensor(
        keys=keys,
        values=torch.from_numpy(np.concatenate(values, dtype=np.int64)),
        weights=torch.from_numpy(np.concatenate(weights)) if weighted else None,
        lengths=torch.from_numpy(stacked),
        stride=len(stacked) // len(keys),
        length_per_key=counts,
        offset_per_key=np.cumsum([0, *counts]).tolist(),
    )
