"""The rows of one stream, step by step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.data.columns import Rows, join
from recsys.data.decode import Decoder
from recsys.data.guard import KINDS, Guard, Workers
from recsys.data.plan import Piece, Plan, Window
from recsys.data.source import Source
from recsys.data.transforms import Transforms
from recsys.errors import InputError


@dataclass(frozen=True)
class Holes:
    """Where a window misses rows. before: (N + 1,) rows that are there before each of its N places; skipped: (N, kinds) which is not."""

    before: NDArray[np.int64]
    skipped: NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """A stream's rows of a step; how many were skipped, by kind of damage, where any were."""

    rows: Rows
    skipped: NDArray[np.int64] | None


@dataclass(frozen=True)
class Shuffled:
    """A window's rows in their order."""

    window: Window
    rows: Rows
    holes: Holes | None

    def part(self, first: int, last: int) -> Part:
        """Rows first .. last - 1 of the stream, without a copy."""
        span = slice(first - self.window.start, last - self.window.start)
        if self.holes is None:
            return Part(self.rows[span], None)
        there = slice(int(self.holes.before[span.start]), int(self.holes.before[span.stop]))
        return Part(self.rows[there], self.holes.skipped[span].sum(0))


class Stream:
    """The rows of one stream: one window in use while a thread makes the next."""

    def __init__(
        self,
        source: Source,
        transforms: Transforms,
        plan: Plan,
        stream: int,
        start_step: int,
        guard: Guard,
        workers: Workers,
        stop: threading.Event,
    ) -> None:
        self._plan, self._stream, self._guard, self._workers, self._stop = plan, stream, guard, workers, stop
        self._transforms, self._decoder = transforms, Decoder(source, transforms.columns, guard)
        self._windows = iter(plan.windows(stream, start_step))
        self._current: Shuffled | None = None
        self._next = self._submit()

    def part(self, step: int) -> Part | None:
        """The stream's rows of a step; None when it has no more. Raises JobError when a read hangs."""
        first, last = self._plan.step(self._stream, step)
        if first == last:
            return None
        if self._current is None or first >= self._current.window.start + self._current.window.rows:
            assert self._next is not None
            self._current = None
            self._current = self._guard.result(self._next, self._stop)
            self._next = self._submit()
        return self._current.part(first, last)

    def close(self) -> None:
        """Close its file, once no thread works for it."""
        self._decoder.close()

    def _submit(self) -> Future[Shuffled] | None:
        window = next(self._windows, None)
        return None if window is None else self._workers.submit(self._read, window)

    def _read(self, window: Window) -> Shuffled:
        parts: list[Rows] = []
        kinds, first = np.full(window.rows, -1, np.int8), 0
        for piece in window.pieces:
            try:
                parts += list(self._rows(piece))
            except InputError as error:
                kinds[first : first + piece.rows] = KINDS.index(self._guard.skip(error))
            first += piece.rows
        rows = join(parts or [self._transforms.padding[0:0]])
        order = self._plan.order(self._stream, window)
        if (kinds < 0).all():
            return Shuffled(window, rows if order is None else rows.take(order), None)
        return _with_holes(window, rows, kinds, np.arange(window.rows) if order is None else order)

    def _rows(self, piece: Piece) -> Iterator[Rows]:
        for where, batch in self._decoder.read(piece):
            if self._stop.is_set():
                raise RuntimeError("the reader was closed")
            yield self._transforms(batch, where)


def _with_holes(window: Window, rows: Rows, kinds: NDArray[np.int8], order: NDArray[np.int64]) -> Shuffled:
    """A window of which only `rows` are there: the others leave holes, so that every row keeps the step that it has in the plan.

    kinds: (N,) the kind of damage of each of the window's rows in the plan, -1 where it is there.
    """
    place = np.cumsum(kinds < 0) - 1
    ordered = kinds[order]
    skipped = ordered[:, None] == np.arange(len(KINDS))
    before = np.concatenate([[0], np.cumsum(ordered < 0)])
    return Shuffled(window, rows.take(place[order[ordered < 0]]), Holes(before, skipped))
