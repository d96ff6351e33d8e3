"""Decoded Arrow columns -> the arrays of a Batch, column by column."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.config import BinaryTask, DurationTask
from recsys.data.columns import Ids, Ints, Ragged, Rows, gather
from recsys.data.hashing import blank, hashed_rows, integers, row_type, valid
from recsys.data.layout import Layout, Slot
from recsys.data.source import Need
from recsys.data.statistics import Statistics, column_of, floats, number_needs, plain, scaled
from recsys.errors import InputError

Task = BinaryTask | DurationTask


class Transforms:
    """What the configuration makes of the columns of a log.

    Every check names the file, the row group and the column in an InputError of one line.
    """

    def __init__(self, layout: Layout, tasks: Sequence[Task], weight: str | None, statistics: Statistics) -> None:
        self._slots = [*layout.pooled, *layout.unpooled]
        self._numbers = [(feature, statistics.moments(feature)) for feature in layout.numbers]
        self._tasks, self._weight = list(tasks), weight

    @property
    def needs(self) -> list[Need]:
        """The columns that are read, and as what."""
        needs = [
            Need(slot.column, "id" if slot.encoding == "hash" else "integer", slot.max_length is not None, f"the feature {slot.key!r}")
            for slot in self._slots
        ]
        needs += number_needs(feature for feature, _ in self._numbers)
        for task in self._tasks:
            needs.append(Need(task.label, "number", False, f"the label of task {task.name!r}"))
            if task.space:
                needs.append(Need(task.space, "number", False, f"the sample space of task {task.name!r}"))
        return needs + ([Need(self._weight, "number", False, "data.weight")] if self._weight else [])

    @property
    def columns(self) -> list[str]:
        """The columns that are read, each once."""
        return list(dict.fromkeys(need.column for need in self.needs))

    @property
    def padding(self) -> Rows:
        """One row that counts for nothing: missing ids, empty lists, no label, weight 0."""
        none = Ragged(np.zeros(0, np.int64), np.zeros(2, np.int64))
        ids: list[Ids] = [np.zeros(1, np.int64) if slot.max_length is None else none for slot in self._slots]
        dense, labels = np.zeros((1, len(self._numbers)), np.float32), np.zeros((1, len(self._tasks)), np.float32)
        return Rows(ids, dense, labels, labels > 0, np.zeros(1, np.float32))

    def __call__(self, batch: pa.RecordBatch, where: str) -> Rows:
        """The rows of an Arrow batch; `where` names its file and row group in messages."""
        _check_aligned(self._slots, batch, where)
        ids = [_ids(slot, batch.column(slot.column), where) for slot in self._slots]
        masks = self._masks(batch)
        return Rows(
            ids=ids,
            dense=self._dense(batch, where),
            labels=self._labels(batch, masks, where),
            masks=masks,
            weights=self._weights(batch, where),
        )

    def _dense(self, batch: pa.RecordBatch, where: str) -> NDArray[np.float32]:
        """(N, D) numbers; an unknown one takes the mean."""
        dense = np.empty((batch.num_rows, len(self._numbers)), np.float32)
        for position, (feature, moments) in enumerate(self._numbers):
            numbers = scaled(feature, batch.column(column_of(feature)), where)
            numbers = np.where(np.isnan(numbers), moments.mean, numbers)
            numbers = (numbers - moments.mean) / (moments.deviation or 1.0) if feature.standardise else numbers
            dense[:, position] = numbers if feature.clip is None else np.clip(numbers, -feature.clip, feature.clip)
        return dense

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
        for position, task in enumerate(self._tasks):
            column = plain(batch.column(task.label))
            values = np.where(valid(column), floats(column), 0)
            binary = isinstance(task, BinaryTask)
            good = (values == 0) | (values == 1) if binary else (values >= 0) & np.isfinite(values)
            wanted = "0, 1 or null" if binary else "seconds of 0 or more, or null"
            _refuse(values, good, f"{where}, column {task.label!r}", f"the label of task {task.name!r} must be {wanted}")
            labels[:, position] = np.where(masks[:, position], values, 0)
        return labels

    def _weights(self, batch: pa.RecordBatch, where: str) -> NDArray[np.float32]:
        """(N,) weights."""
        if not self._weight:
            return np.ones(batch.num_rows, np.float32)
        values = floats(plain(batch.column(self._weight)))
        good = (values >= 0) & np.isfinite(values)
        _refuse(values, good, f"{where}, column {self._weight!r}", "data.weight takes finite numbers of 0 or more, without nulls")
        return values.astype(np.float32)


def _refuse(values: NDArray[np.float64], good: NDArray[np.bool_], where: str, rule: str) -> None:
    if not good.all():
        raise InputError(f"{where}: value {values[~good][0]:g}, but {rule}; mend the column or name another")


def _ids(slot: Slot, column: pa.Array, where: str) -> Ids:
    encode = _encoder(slot, where)
    if slot.max_length is None:
        return encode(column)
    starts, lengths, values, dense = _lists(column, slot.max_length)
    if dense:
        return Ragged(encode(values), np.concatenate([[0], np.cumsum(lengths)]))
    kept = gather(np.arange(len(values)), starts, lengths)
    return Ragged(encode(values.take(pa.array(kept.values))), kept.offsets)


def _lists(column: pa.Array, max_length: int | None) -> tuple[Ints, Ints, pa.Array, bool]:
    """(N,) starts and (N,) lengths of the last `max_length` elements of each row, in an array of elements; whether those are all of it."""
    if pa.types.is_fixed_size_list(column.type):
        column = pc.cast(column, pa.list_(column.type.value_type))
    offsets = column.offsets.to_numpy().astype(np.int64)
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    ends, lengths = offsets[1:] - offsets[0], np.diff(offsets)
    if column.null_count:
        lengths[~valid(column)] = 0
    if max_length is not None:
        lengths = np.minimum(lengths, max_length)
    return ends - lengths, lengths, values, int(lengths.sum()) == len(values)


def _encoder(slot: Slot, where: str) -> Callable[[pa.Array], Ints]:
    if slot.encoding == "hash":
        return lambda values: hashed_rows(values, slot.buckets)
    return lambda values: _identity(plain(values), slot, where)


def _identity(values: pa.Array, slot: Slot, where: str) -> Ints:
    ids = integers(values)
    bad = (ids < 0) | (ids >= slot.buckets)
    if values.null_count:
        bad &= valid(values)
    if bad.any():
        raise InputError(
            f"{where}, column {slot.column!r}: id {ids[bad][0]} is outside 0 .. {slot.buckets - 1} of table {slot.table!r}; "
            "raise its `buckets`, or set `encoding: hash`"
        )
    return blank(ids.astype(row_type(slot.buckets)) + 1, values)


def _check_aligned(slots: Sequence[Slot], batch: pa.RecordBatch, where: str) -> None:
    """The item columns of a sequence must have the same lengths in each row."""
    first: dict[str, tuple[str, Ints]] = {}
    for slot in slots:
        if slot.sequence is None:
            continue
        column, (_, lengths, _, _) = slot.column, _lists(batch.column(slot.column), None)
        other, reference = first.setdefault(slot.sequence, (column, lengths))
        if not np.array_equal(reference, lengths):
            row = int(np.argmax(reference != lengths))
            raise InputError(
                f"{where}: columns {other!r} and {column!r} of sequence {slot.sequence!r} have lists of {reference[row]} and "
                f"{lengths[row]} elements in one row; write lists of one length"
            )
