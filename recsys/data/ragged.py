"""Ids of rows that have any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.signedinteger]


@dataclass(frozen=True)
class Ragged:
    """Ids of N rows, of any number each: row i has values[offsets[i]:offsets[i + 1]]; offsets (N + 1,).

    weights: a float32 beside each value, of weighted ids alone.
    """

    values: Ints
    offsets: Ints
    weights: NDArray[np.float32] | None = None

    @property
    def flat(self) -> Ints:
        """The ids of all rows, end to end."""
        return self.values[self.offsets[0] : self.offsets[-1]]

    @property
    def flat_weights(self) -> NDArray[np.float32]:
        """The weights of all ids, end to end; 1 where none were given."""
        if self.weights is None:
            return np.ones(self.offsets[-1] - self.offsets[0], np.float32)
        return self.weights[self.offsets[0] : self.offsets[-1]]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """(N,) number of ids of each row."""
        return np.diff(self.offsets).astype(np.int32)

    def __getitem__(self, rows: slice) -> Ragged:
        """Consecutive rows, without a copy."""
        return Ragged(self.values, self.offsets[rows.start : rows.stop + 1], self.weights)


Ids = Ints | Ragged
"""Ids of N rows: an (N,) array has exactly one a row."""
Block = Ints | Ragged
"""Ids of N rows: a (C, N) array has those of C columns with exactly one a row."""


def places(starts: Ints, offsets: Ints) -> Ints:
    """For each of N rows the places from starts[i] on, offsets[i + 1] - offsets[i] of them, laid end to end."""
    laid = np.repeat(starts - offsets[:-1], np.diff(offsets))
    laid += np.arange(offsets[-1])
    return laid


def take(blocks: Sequence[Block], order: Ints) -> list[Block]:
    """The rows of each block in another order. Lists that share their offsets, as the items of a sequence do, are gathered at once."""
    taken: list[Block] = [ids if isinstance(ids, Ragged) else ids.take(order, axis=1) for ids in blocks]
    groups: dict[int, dict[int, Ragged]] = {}
    for place, ids in enumerate(blocks):
        if isinstance(ids, Ragged):
            groups.setdefault(id(ids.offsets), {})[place] = ids
    for group in groups.values():
        taken_group = _take_together(list(group.values()), order)
        for place, ragged in zip(group, taken_group, strict=True):
            taken[place] = ragged
    return taken


def _take_together(group: Sequence[Ragged], order: Ints) -> list[Ragged]:
    """The rows of columns with the same offsets in another order; a row's ids are copied in one piece."""
    import fbgemm_gpu  # noqa: F401 -- registers its operators. Here, because a configuration is read without torch
    import torch

    lengths, places = group[0].lengths, torch.from_numpy(order.astype(np.int32))
    parts = [part for own in group for part in (own.flat, own.weights if own.weights is None else own.flat_weights) if part is not None]
    permute = torch.ops.fbgemm.permute_1D_sparse_data
    moved = iter([permute(places, torch.from_numpy(lengths), torch.from_numpy(part))[1].numpy() for part in parts])
    offsets = np.concatenate([[0], np.cumsum(lengths[order], dtype=np.int64)])
    return [Ragged(next(moved), offsets, None if own.weights is None else next(moved)) for own in group]


def join(parts: Sequence[Sequence[Block]]) -> list[Block]:
    """All rows of the parts, in their order, block by block. Lists that share their offsets still do."""
    shared: dict[tuple[int, ...], Ints] = {}
    return [_join_block(list(blocks), shared) for blocks in zip(*parts, strict=True)]


def _join_block(parts: list[Block], shared: dict[tuple[int, ...], Ints]) -> Block:
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return np.concatenate(cast(list[Ints], parts), axis=1)
    key = tuple(id(part.offsets) for part in ragged)
    if key not in shared:
        shared[key] = np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in ragged]), dtype=np.int64)])
    weighted = any(part.weights is not None for part in ragged)
    weights = np.concatenate([part.flat_weights for part in ragged]) if weighted else None
    return Ragged(np.concatenate([part.flat for part in ragged]), shared[key], weights)
