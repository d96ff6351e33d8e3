"""Decoded Arrow columns -> the arrays of a Batch, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys import config_file
from recsys.config import BinaryTask, DurationTask
from recsys.config_file import load_config
from recsys.data.arrow import floats, plain, valid
from recsys.data.columns import Rows
from recsys.data.features.feature import turn
from recsys.data.layout import Layout, label_needs, layout
from recsys.data.ragged import Block, Ids, Ints, Ragged
from recsys.data.source import Need
from recsys.data.statistics import FILE_NAME, Statistics
from recsys.errors import InputError

Task = BinaryTask | DurationTask


class Transforms:
    """What the configuration makes of the columns of a log.

    Every check names the file, the row group and the column in an InputError of one line.
    """

    def __init__(self, layout: Layout, tasks: Sequence[Task], weight: str | None, statistics: Statistics) -> None:
        """`statistics` holds what `layout.features` have learned; InputError where it doesn't."""
        self.layout = layout
        self._features = [
            (feature.transform(layout.tables, statistics), [slot.key for slot in feature.slots()], feature.width)
            for feature in layout.features
        ]
        self._runs, self._tasks, self._weight = layout.runs, list(tasks), weight

    @property
    def needs(self) -> list[Need]:
        """The columns that are read, and as what."""
        return [*self.layout.needs, *label_needs(self._tasks, self._weight)]

    @property
    def columns(self) -> list[str]:
        """The columns that are read, each once."""
        return list(dict.fromkeys(need.column for need in self.needs))

    @property
    def padding(self) -> Rows:
        """One row that counts for nothing: missing ids, empty lists, no label, weight 0."""
        none = Ragged(np.zeros(0, np.int64), np.zeros(2, np.int64))
        ids: list[Block] = [np.zeros((len(run), 1), np.int64) if run[0].max_length is None else none for run in self._runs]
        dense, labels = np.zeros((1, self.layout.width), np.float32), np.zeros((1, len(self._tasks)), np.float32)
        return Rows(ids, dense, labels, labels > 0, np.zeros(1, np.float32))

    def __call__(self, batch: pa.RecordBatch, where: str) -> Rows:
        """The rows of an Arrow batch; `where` names its file and row group in messages."""
        ids: dict[str, Ids] = {}
        # Column by column: written into rows, each would touch all of their memory.
        columns, first = np.empty((self.layout.width, batch.num_rows), np.float32).T, 0
        for transform, keys, width in self._features:
            ids.update(zip(keys, transform.ids(batch, where), strict=True))
            transform.fill(batch, where, columns[:, first : first + width])
            first += width
        dense, masks = np.empty(columns.shape, np.float32), self._masks(batch)
        turn(columns, dense)
        return Rows(
            ids=[_block([ids[slot.key] for slot in run]) for run in self._runs],
            dense=dense,
            labels=self._labels(batch, masks, where),
            masks=masks,
            weights=self._weights(batch, where),
        )

    def problems(self, batch: pa.RecordBatch, where: str) -> Iterator[InputError]:
        """Everything for which these rows would be refused: a feature, a label or the weights at a time, the first of each."""
        masks = self._masks(batch)
        parts: list[Callable[[], object]] = [
            lambda: self._weights(batch, where),
            *(partial(self._label, position, batch, masks, where) for position in range(len(self._tasks))),
            *(partial(transform.ids, batch, where) for transform, _, _ in self._features),
            *(
                partial(transform.fill, batch, where, np.empty((batch.num_rows, width), np.float32))
                for transform, _, width in self._features
            ),
        ]
        for part in parts:
            try:
                part()
            except InputError as error:
                yield error

    def _masks(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """(N, K) whether the label is known and the row in the task's sample space."""
        masks = np.empty((batch.num_rows, len(self._tasks)), np.bool_)
        for position, task in enumerate(self._tasks):
            masks[:, position] = valid(plain(batch.column(task.label)))
            if task.space:
                masks[:, position] &= floats(plain(batch.column(task.space))) == 1
        return masks

    def _labels(self, batch: pa.RecordBatch, masks: NDArray[np.bool_], where: str) -> NDArray[np.float32]:
        """(N, K) labels, 0 where they don't count; checked wherever they are known."""
        labels = np.empty((batch.num_rows, len(self._tasks)), np.float32)
        for position in range(len(self._tasks)):
            labels[:, position] = self._label(position, batch, masks, where)
        return labels

    def _label(self, position: int, batch: pa.RecordBatch, masks: NDArray[np.bool_], where: str) -> NDArray[np.float64]:
        """(N,) labels of one task."""
        task = self._tasks[position]
        column = plain(batch.column(task.label))
        values = np.where(valid(column), floats(column), 0)
        binary = isinstance(task, BinaryTask)
        good = (values == 0) | (values == 1) if binary else (values >= 0) & np.isfinite(values)
        wanted = "0, 1 or null" if binary else "seconds of 0 or more, or null"
        _refuse(values, good, f"{where}, column {task.label!r}", f"the label of task {task.name!r} must be {wanted}")
        return np.where(masks[:, position], values, 0)

    def _weights(self, batch: pa.RecordBatch, where: str) -> NDArray[np.float32]:
        """(N,) weights."""
        if not self._weight:
            return np.ones(batch.num_rows, np.float32)
        values = floats(plain(batch.column(self._weight)))
        good = (values >= 0) & np.isfinite(values)
        _refuse(values, good, f"{where}, column {self._weight!r}", "data.weight takes finite numbers of 0 or more, without nulls")
        return values.astype(np.float32)


def load_transforms(run_folder: Path, *, labels: bool = True) -> Transforms:
    """The transforms of a run, from its folder alone: what its training used, number for number.

    labels: False leaves out tasks and weight, for rows that have none. Raises InputError when the folder holds no run.
    """
    config, statistics = load_config(run_folder / config_file.FILE_NAME), Statistics.load(run_folder / FILE_NAME)
    return Transforms(layout(config.features), config.tasks if labels else [], config.data.weight if labels else None, statistics)


def _block(run: list[Ids]) -> Block:
    """The ids of a run of slots."""
    return run[0] if isinstance(run[0], Ragged) else np.stack(cast(list[Ints], run))


def _refuse(values: NDArray[np.float64], good: NDArray[np.bool_], where: str, rule: str) -> None:
    if not good.all():
        raise InputError(f"{where}: value {values[~good][0]:g}, but {rule}; mend the column or name another")
