"""Scores on their way: plain float32 files, one a stripe of consecutive rows, written by whichever rank has those rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.data.plan import Plan


class Stripes:
    """The (rows, K) scores of one run in files that each begin at one of `starts` (ascending, the first 0)."""

    def __init__(self, folder: Path, starts: Sequence[int], tasks: int) -> None:
        self._folder, self._starts, self._tasks = folder, list(starts), tasks

    def append(self, stripe: int, scores: NDArray[np.float32]) -> None:
        """Add (n, K) scores to a stripe, whose rows come in order."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._path(stripe).open("ab") as file:
            file.write(np.ascontiguousarray(scores, np.float32).tobytes())

    def read(self, first: int, rows: int) -> NDArray[np.float32]:
        """(rows, K) scores of the rows from `first` on."""
        parts: list[NDArray[np.float32]] = []
        while rows:
            stripe = bisect_right(self._starts, first) - 1
            end = self._starts[stripe + 1] if stripe + 1 < len(self._starts) else first + rows
            count, width = min(rows, end - first), 4 * self._tasks
            offset = (first - self._starts[stripe]) * width
            numbers = np.fromfile(self._path(stripe), np.float32, count * self._tasks, offset=offset)
            parts.append(numbers.reshape(count, self._tasks))
            first, rows = first + count, rows - count
        return np.concatenate(parts) if parts else np.empty((0, self._tasks), np.float32)

    def _path(self, stripe: int) -> Path:
        return self._folder / f"{stripe:05d}.f32"


def by_stream(plan: Plan, streams: Sequence[int], step: int, scores: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The parts of a rank's (B, K) scores of a step that each of its streams gave, without padding; `plan` doesn't shuffle."""
    first = 0
    for stream in streams:
        start, stop = plan.step(stream, step)
        if stop > start:
            yield stream, scores[first : first + stop - start]
        first += stop - start
