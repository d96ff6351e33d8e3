"""Which rows each step of an epoch takes, whatever the number of ranks.

The row groups, permuted by (seed, epoch), are laid end to end and cut by rows into `streams` equal shares. A step takes the same number of
rows from every stream. A stream is read in windows, whose rows are permuted by (seed, epoch, stream, window). Ranks share out the streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InputError


@dataclass(frozen=True)
class Piece:
    """Rows first .. first + rows - 1 of a row group, of which the stream takes no row from `end` on."""

    file: int
    group: int
    first: int
    rows: int
    end: int


@dataclass(frozen=True)
class Window:
    """Rows start .. start + rows - 1 of a stream, shuffled together; `number` counts the stream's windows."""

    number: int
    start: int
    rows: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Plan:
    """The order of the rows of one epoch. A step takes `step_rows` rows of each stream; a window has at most `window_rows`."""

    groups: Sequence[tuple[int, int, int]]
    """(file, row group, rows) in the files' order."""
    streams: int
    step_rows: int
    window_rows: int
    seed: int
    shuffle: bool
    epoch: int = 0

    @cached_property
    def rows(self) -> int:
        """Rows of an epoch."""
        return sum(rows for _, _, rows in self.groups)

    @property
    def steps(self) -> int:
        """Steps of an epoch, the same on every rank: until the largest stream is used up."""
        return -(-self.stream_rows(0) // self.step_rows)

    def stream_rows(self, stream: int) -> int:
        """Rows of a stream; streams differ by one row at most, the larger ones first."""
        return self.rows // self.streams + (stream < self.rows % self.streams)

    def step(self, stream: int, step: int) -> tuple[int, int]:
        """The first row, and the one after the last, that a step takes of a stream."""
        rows = self.stream_rows(stream)
        return min(step * self.step_rows, rows), min((step + 1) * self.step_rows, rows)

    def windows(self, stream: int, start_step: int = 0) -> list[Window]:
        """The windows of a stream, from the one that `start_step` falls in.

        They are whole steps long. The first is shorter in the lower streams, so that streams don't all need their next window in one step.
        """
        steps = max(1, self.window_rows // self.step_rows)
        first = -(-steps * (stream + 1) // self.streams)
        edges = [0, *range(first * self.step_rows, self.stream_rows(stream), steps * self.step_rows), self.stream_rows(stream)]
        spans = [(number, start, stop) for number, (start, stop) in enumerate(pairwise(edges))]
        position = start_step * self.step_rows
        return [Window(number, start, stop - start, self._pieces(stream, start, stop)) for number, start, stop in spans if stop > position]

    def order(self, stream: int, window: Window) -> NDArray[np.int64] | None:
        """The permutation of a window's rows; None when they stay as they are."""
        if not self.shuffle:
            return None
        return self._generator(stream, window.number).permutation(window.rows)

    def _pieces(self, stream: int, start: int, stop: int) -> tuple[Piece, ...]:
        """The parts of row groups that rows start .. stop - 1 of a stream are."""
        begin = stream * (self.rows // self.streams) + min(stream, self.rows % self.streams)
        start, stop, end = begin + start, begin + stop, begin + self.stream_rows(stream)
        pieces = []
        for index in range(int(np.searchsorted(self._edges, start, "right")) - 1, int(np.searchsorted(self._edges, stop, "left"))):
            file, group, _ = self._ordered[index]
            first, last = int(self._edges[index]), int(self._edges[index + 1])
            low, high = max(start, first), min(stop, last)
            pieces.append(Piece(file, group, low - first, high - low, min(end, last) - first))
        return tuple(pieces)

    @cached_property
    def _ordered(self) -> list[tuple[int, int, int]]:
        """The row groups that have rows, in the epoch's order."""
        groups = [group for group in self.groups if group[2]]
        return [groups[index] for index in self._generator().permutation(len(groups))] if self.shuffle else groups

    @cached_property
    def _edges(self) -> NDArray[np.int64]:
        """Where each row group begins in the epoch, and where the last ends."""
        return np.cumsum([0, *(rows for _, _, rows in self._ordered)])

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.seed % 2**64, spawn_key=(self.epoch, *purpose)))


def owned_streams(streams: int, rank: int, world_size: int) -> range:
    """The streams of a rank. Raises InputError when there are fewer streams than ranks."""
    if world_size > streams:
        raise InputError(f"data.streams: {streams} streams cannot be shared out over {world_size} ranks; set it to {world_size} or more")
    return range(rank * streams // world_size, (rank + 1) * streams // world_size)
