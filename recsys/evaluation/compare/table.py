"""The table of scores that an evaluation keeps, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from recsys.config import Task
from recsys.data.arrow import floats, plain
from recsys.errors import InputError
from recsys.evaluation.comparison import Slice
from recsys.evaluation.groups import group_codes

MOST_SLICES = 100  # values of a column


@dataclass(frozen=True)
class TaskRows:
    """The n rows that count for a task: (n,) labels, codes of their clusters, and each run's scores."""

    task: Task
    rows: NDArray[np.int64]
    labels: NDArray[np.float32]
    clusters: NDArray[np.int32]
    scores: dict[str, NDArray[np.float32]]

    @property
    def positive(self) -> NDArray[np.bool_]:
        """(n,) whether the event happened; of a duration, whether it was longer than the threshold."""
        return self.labels > (0 if self.task.kind == "binary" else self.task.threshold)

    def where(self, members: NDArray[np.bool_]) -> TaskRows:
        """The rows of a slice; (n,) `members`."""
        scores = {run: column[members] for run, column in self.scores.items()}
        return TaskRows(self.task, self.rows[members], self.labels[members], self.clusters[members], scores)


class ScoreTable:
    """The parquet files of `scores/`: a row an impression, in the order of the log.

    Columns are read when they are asked for, so that one task is in memory at a time.
    """

    def __init__(self, folder: Path, group: str | None) -> None:
        """group: the column of the log by which rows depend on each other; each row by itself when None."""
        self._data = ds.dataset(folder, format="parquet")
        self._group = group

    @cached_property
    def rows(self) -> int:
        """Rows of all files."""
        return self._data.count_rows()

    @cached_property
    def clusters(self) -> NDArray[np.int32]:
        """(rows,) codes 0 .. u-1. Raises InputError where the group is null."""
        if self._group is None:
            return np.arange(self.rows, dtype=np.int32)
        try:
            return group_codes(self.log(self._group))
        except ValueError as error:
            raise InputError(f"column {self._group!r}: {error}; rows are resampled by it, so each needs one") from error

    @property
    def cluster_count(self) -> int:
        """How many clusters there are."""
        return int(self.clusters.max()) + 1

    def log(self, column: str) -> pa.ChunkedArray:
        """(rows,) a column of the log."""
        return self._data.to_table(columns=[f"log/{column}"]).column(0)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """(rows,) a column of numbers of the log, NaN where null."""
        return floats(plain(self.log(column).combine_chunks()))

    def task(self, task: Task, runs: list[str]) -> TaskRows:
        """What counts for a task."""
        counts = self._numpy(f"valid/{task.name}")
        scores = {run: self._numpy(f"score/{run}/{task.name}")[counts] for run in runs}
        return TaskRows(task, np.flatnonzero(counts), self._numpy(f"label/{task.name}")[counts], self.clusters[counts], scores)

    def scores(self, run: str, task: str) -> NDArray[np.float32]:
        """(rows,) scores, of rows that don't count too."""
        return self._numpy(f"score/{run}/{task}")

    def slices(self, column: str) -> tuple[list[Slice], NDArray[np.int32]]:
        """The values of a column in their order, and (rows,) the place of each row's. Raises InputError where they are too many."""
        values = self.log(column).combine_chunks()
        text = pc.fill_null(pc.cast(values, pa.string()), "null")
        codes = text.dictionary_encode()
        names = codes.dictionary.to_pylist()
        if len(names) > MOST_SLICES:
            raise InputError(f"--slices: column {column!r} has {len(names):,} values, more than {MOST_SLICES}; name one with fewer")
        order = sorted(range(len(names)), key=lambda place: _sorting_key(names[place]))
        places = np.empty(len(names), np.int32)
        places[order] = np.arange(len(names))
        return [Slice(column=column, value=names[place]) for place in order], places[codes.indices.to_numpy()]

    def _numpy(self, column: str) -> NDArray:
        return self._data.to_table(columns=[column]).column(0).to_numpy()


def _sorting_key(value: str) -> tuple[int, float, str]:
    """Numbers by size, then words, then null."""
    if value == "null":
        return 2, 0.0, value
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
