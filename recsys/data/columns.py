"""Decoded rows, column by column, and how they become a Batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchrec import KeyedJaggedTensor

from recsys.data.batch import Batch

Ints = NDArray[np.signedinteger]
_BLOCK = 1024  # rows whose temporaries stay in cache


@dataclass(frozen=True)
class Ragged:
    """Ids of N rows, of any number each: row i has values[offsets[i]:offsets[i + 1]]; offsets (N + 1,)."""

    values: Ints
    offsets: Ints

    @property
    def flat(self) -> Ints:
        """The ids of all rows, end to end."""
        return self.values[self.offsets[0] : self.offsets[-1]]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(N,) number of ids of each row."""
        return np.diff(self.offsets).astype(np.int32)

    def __getitem__(self, rows: slice) -> Ragged:
        """Consecutive rows, without a copy."""
        return Ragged(self.values, self.offsets[rows.start : rows.stop + 1])

    def take(self, order: Ints) -> Ragged:
        """Rows in another order."""
        return gather(self.values, self.offsets[:-1][order], np.diff(self.offsets)[order])


Ids = Ints | Ragged
"""Ids of N rows: an (N,) array has exactly one a row."""


def gather(values: Ints, starts: Ints, lengths: Ints) -> Ragged:
    """The rows values[starts[i]:starts[i] + lengths[i]], laid end to end."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    shifts, out = starts - offsets[:-1], np.empty(offsets[-1], values.dtype)
    for first in range(0, len(starts), _BLOCK):
        begin, *_, end = offsets[first : first + _BLOCK + 1]
        source = np.repeat(shifts[first : first + _BLOCK], lengths[first : first + _BLOCK])
        source += np.arange(begin, end)
        np.take(values, source, out=out[begin:end], mode="clip")  # without a mode, `out` is buffered
    return Ragged(out, offsets)


@dataclass(frozen=True)
class Rows:
    """N rows: ids of each slot of the layout (pooled, then unpooled), and the other parts of a Batch, (N, D), (N, K), (N, K), (N,)."""

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
        ids = [ids.take(order) for ids in self.ids]
        return Rows(ids, self.dense[order], self.labels[order], self.masks[order], self.weights[order])


def join(parts: Sequence[Rows]) -> Rows:
    """All rows of the parts, in their order."""
    ids = [_join_ids([part.ids[slot] for part in parts]) for slot in range(len(parts[0].ids))]
    dense, labels, masks, weights = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("dense", "labels", "masks", "weights")
    )
    return Rows(ids, dense, labels, masks, weights)


def to_batch(parts: Sequence[Rows], pooled: Sequence[str], unpooled: Sequence[str]) -> Batch:
    """The Batch of the parts' rows; the keys name the slots."""
    dense, labels, masks, weights = (
        torch.from_numpy(np.concatenate([getattr(part, name) for part in parts])) for name in ("dense", "labels", "masks", "weights")
    )
    return Batch(
        sparse=_keyed(pooled, 0, parts),
        sequence=_keyed(unpooled, len(pooled), parts),
        dense=dense,
        labels=labels,
        masks=masks,
        weights=weights,
    )


def _keyed(keys: Sequence[str], first: int, parts: Sequence[Rows]) -> KeyedJaggedTensor | None:
    """The ids of consecutive slots, int64, with int32 lengths; the counts by key spare the device a synchronisation."""
    if not keys:
        return None
    slots = range(first, first + len(keys))
    values = [[_flat(part.ids[slot]) for part in parts] for slot in slots]
    ones = np.ones(sum(map(len, parts)), np.int32)
    lengths = [piece for slot in slots for piece in _lengths([part.ids[slot] for part in parts]) or [ones]]
    counts = [sum(map(len, pieces)) for pieces in values]
    return KeyedJaggedTensor(
        keys=list(keys),
        values=torch.from_numpy(np.concatenate([piece for pieces in values for piece in pieces], dtype=np.int64)),
        lengths=torch.from_numpy(np.concatenate(lengths)),
        stride=len(ones),
        length_per_key=counts,
        offset_per_key=np.cumsum([0, *counts]).tolist(),
    )


def _flat(ids: Ids) -> Ints:
    return ids.flat if isinstance(ids, Ragged) else ids


def _lengths(parts: list[Ids]) -> list[NDArray[np.int32]]:
    """The lengths of each part; none when they are single ids."""
    return [part.lengths for part in parts if isinstance(part, Ragged)]


def _join_ids(parts: list[Ids]) -> Ids:
    values = np.concatenate([_flat(part) for part in parts])
    lengths = _lengths(parts)
    return Ragged(values, np.concatenate([[0], np.cumsum(np.concatenate(lengths), dtype=np.int64)])) if lengths else values
