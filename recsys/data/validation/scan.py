"""One pass over the rows of a split, for every check that has to see them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config import DataConfig, Task
from recsys.data.arrow import valid
from recsys.data.decode import Decoder
from recsys.data.guard import Guard, guarded_map
from recsys.data.plan import Piece
from recsys.data.source import Source
from recsys.data.transforms import Transforms
from recsys.data.validation.columns import ColumnProfile
from recsys.data.validation.days import day_number, day_numbers, partition_day, seconds
from recsys.data.validation.labels import LabelRates
from recsys.data.validation.leakage import Leakage, stride_for
from recsys.data.validation.notes import Notes
from recsys.data.validation.repeats import RowHashes, is_scalar, row_hashes
from recsys.errors import InputError

UNKNOWN_DAY = -1


@dataclass(frozen=True)
class Plan:
    """What to look at. columns: all that are read; numeric: feature columns that are compared with labels; time: the column of the time."""

    columns: Sequence[str]
    numeric: Sequence[str]
    tasks: Sequence[Task]
    time: str | None
    transforms: Transforms | None


class Scan:
    """What the rows of a split, or of a part of it, look like."""

    def __init__(self, plan: Plan, stride: int) -> None:
        self.plan, self.rows = plan, 0
        self.labels = LabelRates(plan.tasks)
        self.columns = {column: ColumnProfile() for column in plan.columns}
        self.hashes = RowHashes()
        self.leakage = Leakage(plan.numeric, plan.tasks, stride)
        self.first: int | None = None
        self.last: int | None = None
        # What is wrong, without its place and numbers: the first such message, and the number of batches.
        self.refused: dict[str, tuple[str, int]] = {}
        self.damage: list[InputError] = []

    def add(self, batch: pa.RecordBatch, where: str) -> None:
        """Take in the rows of an Arrow batch."""
        self.rows += batch.num_rows
        self.labels.add(batch, self._days(batch, where))
        for column, profile in self.columns.items():
            profile.add(batch.column(column))
        scalars = [column for column in self.plan.columns if is_scalar(batch.column(column).type)]
        self.hashes.add(row_hashes(batch, scalars))
        self.leakage.add(batch)
        if self.plan.transforms is not None:
            for error in self.plan.transforms.problems(batch, where):
                self._refuse(str(error), where)

    def merge(self, other: Scan) -> None:
        """Take in what another has seen of later rows."""
        self.rows += other.rows
        self.labels.merge(other.labels)
        for column, profile in self.columns.items():
            profile.merge(other.columns[column])
        self.hashes.merge(other.hashes)
        self.leakage.merge(other.leakage)
        self.damage += other.damage
        if other.first is not None and other.last is not None:
            self._widen(other.first, other.last)
        for kind, (message, times) in other.refused.items():
            first, before = self.refused.get(kind, (message, 0))
            self.refused[kind] = first, before + times

    def report(self, notes: Notes) -> None:
        """What couldn't be decoded, and what the transforms of training would refuse: each kind of problem once, at its first place."""
        for damage in self.damage:
            notes.skip(damage)
        notes.tell()
        for message, batches in self.refused.values():
            notes.note("value", message + (f" (the same in {batches - 1} more batches of rows)" if batches > 1 else ""))

    def _days(self, batch: pa.RecordBatch, where: str) -> NDArray[np.int64]:
        """(N,) days since 1970: of the partition, else of the time column."""
        stamps = seconds(batch.column(self.plan.time)) if self.plan.time else None
        if stamps is not None and batch.column(self.plan.time).null_count < len(stamps):
            there = valid(batch.column(self.plan.time))
            self._widen(int(stamps[there].min()), int(stamps[there].max()))
            stamps = np.where(there, stamps, stamps[there].min())
        if day := partition_day(where.rpartition(", row group")[0]):
            return np.full(batch.num_rows, day_number(day))
        return np.full(batch.num_rows, UNKNOWN_DAY) if stamps is None else day_numbers(stamps)

    def _widen(self, first: int, last: int) -> None:
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)

    def _refuse(self, message: str, where: str) -> None:
        kind = re.sub(r"\d+", "#", message.removeprefix(where))
        first, times = self.refused.get(kind, (message, 0))
        self.refused[kind] = first, times + 1


def scan(source: Source, plan: Plan, config: DataConfig, advance: Callable[[int], None]) -> Scan:
    """One pass over all rows of a split in threads, a file each. Raises JobError when a read hangs."""
    stride, guard = stride_for(source.rows), Guard(timeout=config.timeout)
    total = Scan(plan, stride)

    def of_file(file: int) -> Scan:
        return _scan_file(source, file, Scan(plan, stride), guard, advance)

    for part in guarded_map(guard, config.threads, "validation", of_file, range(len(source.files))):
        total.merge(part)
    return total


def _scan_file(source: Source, file: int, part: Scan, guard: Guard, advance: Callable[[int], None]) -> Scan:
    """What a file's rows look like; row groups that can't be decoded are noted."""
    decoder = Decoder(source, part.plan.columns, guard)
    for group, rows in enumerate(source.files[file].groups):
        try:
            for where, batch in decoder.read(Piece(file, group, 0, rows, rows)):
                part.add(batch, where)
                advance(batch.num_rows)
        except InputError as error:
            part.damage.append(error)
    decoder.close()
    return part
