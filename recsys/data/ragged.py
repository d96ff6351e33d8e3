"""Ids of rows that have any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def places(starts: Ints, offsets: Ints) -> Ints:
    """For each of N rows the places from starts[i] on, offsets[i + 1] - offsets[i] of them, laid end to end."""
    laid = np.repeat(starts - offsets[:-1], np.diff(offsets))
    laid += np.arange(offsets[-1])
    return laid


def take(columns: Sequence[Ids], order: Ints) -> list[Ids]:
    """The rows of each column in another order. Lists that share their offsets, as the items of a sequence do, are gathered at once."""
    taken: list[Ids] = [ids if isinstance(ids, Ragged) else ids[order] for ids in columns]
    groups: dict[int, dict[int, Ragged]] = {}
    for place, ids in enumerate(columns):
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


def flat(ids: Ids) -> Ints:
    """The ids of all rows, end to end."""
    return ids.flat if isinstance(ids, Ragged) else ids


def flat_weights(ids: Ids) -> NDArray[np.float32]:
    """The weight of each id; 1 where none were given."""
    return ids.flat_weights if isinstance(ids, Ragged) else np.ones(len(ids), np.float32)


def lengths_of(parts: list[Ids]) -> list[NDArray[np.int32]]:
    """The lengths of each part; none when they are single ids."""
    return [part.lengths for part in parts if isinstance(part, Ragged)]


def join(parts: Sequence[Sequence[Ids]]) -> list[Ids]:
    """All rows of the parts, in their order, column by column. Columns that share their offsets still do."""
    shared: dict[tuple[int, ...], Ints] = {}
    return [_join_column(list(column), shared) for column in zip(*parts, strict=True)]


def _join_column(parts: list[Ids], shared: dict[tuple[int, ...], Ints]) -> Ids:
    values = np.concatenate([flat(part) for part in parts])
    ragged = [part for part in parts if isinstance(part, Ragged)]
    if not ragged:
        return values
    key = tuple(id(part.offsets) for part in ragged)
    if key not in shared:
        shared[key] = np.concatenate([[0], np.cumsum(np.concatenate(lengths_of(parts)), dtype=np.int64)])
    weighted = any(part.weights is not None for part in ragged)
    weights = np.concatenate([part.flat_weights for part in ragged]) if weighted else None
    return Ragged(values, shared[key], weights)
