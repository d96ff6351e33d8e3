"""Exact metrics of more rows than fit in memory: sorted runs on disk, merged a range of scores at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import positives_of
from recsys.evaluation.tally import BINS, Tally, ranked_metrics, tally

ROWS = 1 << 22  # rows of a run, and about as many of a merged range
_SAMPLES = 1 << 10  # of a run, by which the ranges are cut


def metrics_of_chunks(
    chunks: Iterable[tuple[ArrayLike, ArrayLike]], bins: int = BINS, folder: Path | None = None, rows_in_memory: int = ROWS
) -> dict[str, float]:
    """Every metric of a binary task from chunks of (scores, labels); the names are `names.BINARY_OFFLINE`.

    Equal to what one `tally` of all rows gives (the AUC to the last bit), whatever the chunks, in about 100 bytes for each of
    `rows_in_memory`, and 4 bytes a row (8 for float64 scores) of disk under `folder` (the system's temporary one if None).

    Raises:
        ValueError: NaN among the scores, or one outside [0, 1]; a chunk's lengths or the chunks' dtypes differ.
    """
    with tempfile.TemporaryDirectory(prefix="scores-", dir=folder) as runs:
        rows = SortedRuns(Path(runs), rows_in_memory)
        for scores, labels in chunks:
            rows.add(np.asarray(scores).ravel(), labels)
        return ranked_metrics(rows.tallies(), rows.rows, rows.positives, bins)


class SortedRuns:
    """Scores on disk, those of negatives and of positives apart, sorted in runs."""

    def __init__(self, folder: Path, rows_in_memory: int = ROWS) -> None:
        self.rows = self.positives = 0
        self._folder, self._limit = folder, rows_in_memory
        self._waiting: list[tuple[NDArray, NDArray[np.bool_]]] = []
        self._waiting_rows = 0
        self._runs: list[_Run] = []

    def add(self, scores: NDArray, labels: ArrayLike) -> None:
        """Take (n,) float scores and (n,) labels; above 0 is positive."""
        positive = positives_of(labels, scores.size)
        missing = int(np.count_nonzero(np.isnan(scores)))
        if missing:
            raise ValueError(f"{missing} of {scores.size} scores are NaN")
        if (self._waiting and self._waiting[0][0].dtype != scores.dtype) or (self._runs and self._runs[0].negatives.dtype != scores.dtype):
            raise ValueError(f"scores of {scores.dtype} after others")
        self.rows += scores.size
        self.positives += int(np.count_nonzero(positive))
        for start in range(0, scores.size, self._limit):
            part = slice(start, start + self._limit)
            self._waiting.append((scores[part], positive[part]))
            self._waiting_rows += self._waiting[-1][0].size
            if self._waiting_rows >= self._limit:
                self._write()

    def tallies(self) -> Iterator[Tally]:
        """Tallies of disjoint ranges of scores, ascending."""
        if self._waiting:
            self._write()
        edges = self._edges()
        for low, high in zip([None, *edges], [*edges, None], strict=True):
            negatives, positives = (self._between(low, high, side) for side in (0, 1))
            if low is not None and high == np.nextafter(low, np.inf, dtype=type(low)):  # one score, however many rows
                counts = (np.array([sum(part.size for part in parts)]) for parts in (negatives, positives))
                yield Tally(np.array([low], np.float64), *counts)
                continue
            scores = np.concatenate([*negatives, *positives]) if negatives else np.empty(0, np.float32)
            yield tally(scores, np.arange(scores.size) >= sum(part.size for part in negatives))

    def _write(self) -> None:
        scores, positive = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        self._waiting, self._waiting_rows = [], 0
        run = []
        for name, of_class in (("negatives", ~positive), ("positives", positive)):
            path = self._folder / f"{len(self._runs)}-{name}.npy"
            np.save(path, np.sort(scores[of_class]))
            run.append(np.load(path, mmap_mode="r") if of_class.any() else np.empty(0, scores.dtype))
        self._runs.append(_Run(*run))

    def _edges(self) -> list[np.floating]:
        """Scores between which about as many rows lie as fit in memory; a score with more rows than that is alone between two."""
        every = max(1, self._limit // _SAMPLES)
        samples = np.concatenate([part[every - 1 :: every] for run in self._runs for part in run]) if self._runs else np.empty(0)
        samples.sort()
        cuts = samples[_SAMPLES - 1 :: _SAMPLES]
        repeated = cuts[1:][cuts[1:] == cuts[:-1]]
        return list(np.unique(np.concatenate([cuts, np.nextafter(repeated, np.inf, dtype=repeated.dtype)])))

    def _between(self, low: np.floating | None, high: np.floating | None, side: int) -> list[NDArray]:
        """Of each run, the scores of one class in [low, high)."""
        ends = [[None if edge is None else int(np.searchsorted(run[side], edge)) for edge in (low, high)] for run in self._runs]
        return [run[side][start:end] for run, (start, end) in zip(self._runs, ends, strict=True)]


class _Run(NamedTuple):
    negatives: NDArray
    positives: NDArray
