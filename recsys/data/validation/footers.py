"""What the footers of the files say, without a row being read: the part of a validation that every job does before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from statistics import median
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from recsys.config import BinaryTask, Config, Task
from recsys.data.source import Need, Source, SourceFile, open_source
from recsys.data.times import readable, seconds_of_date
from recsys.data.validation.days import DAY, day_number, partition_day, seconds_of_integers
from recsys.data.validation.findings import Findings, some
from recsys.data.validation.notes import Notes
from recsys.errors import InputError

SMALL_GROUP, LARGE_GROUP = 5_000, 1_000_000  # rows


@dataclass
class Footers:
    """The files of a split. first, last: the earliest and the latest time (seconds since 1970), where footers or folders tell."""

    source: Source
    bytes: int = 0
    first: int | None = None
    last: int | None = None

    @property
    def group_rows(self) -> list[int]:
        """Rows of each row group."""
        return [rows for _, _, rows in self.source.groups]

    @property
    def groups(self) -> str:
        """Row groups and their sizes in words."""
        sizes = self.group_rows
        if not sizes:
            return "none"
        least, most = min(sizes), max(sizes)
        return f"{len(sizes):,} of {most:,} rows" if least == most else f"{len(sizes):,} of {least:,} to {most:,} rows"


def read_footers(config: Config, split: str, needs: Sequence[Need], time: str | None, found: Findings) -> Footers:
    """Look at every footer of a split; what is wrong goes to `found`, and the files that are whole to the result."""
    source = _open(config, split, needs, found)
    footers = Footers(source)
    labels = {task.label: _LabelBounds(task) for task in config.tasks}
    for file in source.files:
        with file.open() as opened:
            _read_footer(file, opened, footers, labels, time)
    if footers.first is None:
        _widen_to_days(footers)
    for bounds in labels.values():
        bounds.report(split, found)
    _advise_on_groups(footers, split, config.data.streams, found)
    return footers


def _open(config: Config, split: str, needs: Sequence[Need], found: Findings) -> Source:
    data, notes = config.data, Notes(config.data, found)
    try:
        source = open_source(getattr(data, split), needs, data.threads, data.store, notes)
        notes.tell()
        return source
    except InputError as error:
        notes.tell()
        # That no rows are left follows from what was just told.
        if not found.errors:
            found.error("files", f"data.{split}: {error}")
        return Source(())


def check_footers(config: Config, splits: dict[str, Footers], found: Findings) -> None:
    """What only shows between splits: a file in two of them, and times that overlap."""
    names = {split: {file.name for file in footers.source.files} for split, footers in splits.items()}
    for left, right in combinations(splits, 2):
        if shared := sorted(names[left] & names[right]):
            found.error(
                "splits",
                f"data.{left} and data.{right} share {len(shared)} file(s), such as {some(shared, 1)}; give each split its own",
            )
    check_order({split: (footers.first, footers.last) for split, footers in splits.items()}, found)


def check_types(needs: Sequence[Need], splits: dict[str, Footers], found: Findings) -> None:
    """Refuse ids that are strings in one split and integers in another: equal ids would become different rows of a table."""
    firsts = {split: footers.source.files[0] for split, footers in splits.items() if footers.source.files}
    for column in sorted({need.column for need in needs if need.kind == "id"}):
        of_kind = {column in file.text_columns: (split, file.name) for split, file in firsts.items()}
        if len(of_kind) == 2:
            (text, name), (other, _) = of_kind[True], of_kind[False]
            found.error(
                "column", f"{name}: column {column!r} holds strings in data.{text}, but integers in data.{other}; write it so in all"
            )


def check_order(ranges: dict[str, tuple[int | None, int | None]], found: Findings) -> None:
    """Warn where a split begins before the one ahead of it has ended: a model is then judged on its own past."""
    for left, right in combinations(ranges, 2):
        last, first = ranges[left][1], ranges[right][0]
        if last is not None and first is not None and first <= last:
            found.warning(
                "time order",
                f"data.{right} begins at {readable(first)}, {(last - first) / 3600:,.1f} h before data.{left} ends at {readable(last)} "
                "(UTC): the model may have seen the future of what it is judged on; split by time",
            )


def check_columns(config: Config, needs: Sequence[Need], found: Findings) -> None:
    """Refuse a label or sample space among the features."""
    labels = {task.space: task.name for task in config.tasks if task.space} | {task.label: task.name for task in config.tasks}
    for need in needs:
        if need.column in labels:
            what = f"which is a label (task {labels[need.column]!r})"
            found.error("leakage", f"{need.purpose} reads {need.column!r}, {what}; leave the feature out")


class _LabelBounds:
    """What footers say of a label: nulls, smallest and largest value."""

    def __init__(self, task: Task) -> None:
        self._task, self._rows, self._nulls = task, 0, 0
        self._low: float | None = None
        self._high: float | None = None
        self._known, self._where = True, ""

    def add(self, file: str, group: int, rows: int, statistics: pq.Statistics | None) -> None:
        """Take in a row group."""
        self._rows += rows
        if statistics is None or not statistics.has_null_count or not (statistics.has_min_max or statistics.null_count == rows):
            self._known = False
            return
        self._nulls += statistics.null_count
        if statistics.has_min_max:
            low, high = float(statistics.min), float(statistics.max)
            if not self._where and (low < 0 or (isinstance(self._task, BinaryTask) and high > 1)):
                self._where = f"{file}, row group {group}, column {self._task.label!r}: values {low:g} to {high:g}"
            self._low = low if self._low is None else min(self._low, low)
            self._high = high if self._high is None else max(self._high, high)

    def report(self, split: str, found: Findings) -> None:
        """Errors that make the task impossible."""
        task, where = self._task, f"data.{split}, column {self._task.label!r}"
        if self._where:
            wanted = "0, 1 or null" if isinstance(task, BinaryTask) else "seconds of 0 or more, or null"
            found.error("labels", f"{self._where}, but the label of task {task.name!r} must be {wanted}; mend the column or name another")
        if not self._rows or not self._known or self._where:
            return
        if self._nulls == self._rows:
            found.error("labels", f"{where}: null in each of {self._rows:,} rows; task {task.name!r} has nothing to learn from")
        elif isinstance(task, BinaryTask) and self._low == self._high:
            found.error("labels", f"{where}: {self._low:g} in each row that has a label; task {task.name!r} needs both 0 and 1")


def _read_footer(file: SourceFile, opened: pq.ParquetFile, footers: Footers, labels: dict[str, _LabelBounds], time: str | None) -> None:
    metadata = opened.metadata
    leaves = {metadata.schema.column(position).path: position for position in range(metadata.num_columns)}
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        footers.bytes += row_group.total_byte_size
        for column, bounds in labels.items():
            bounds.add(file.name, group, row_group.num_rows, row_group.column(leaves[column]).statistics)
        if time in leaves:
            _widen(footers, row_group.column(leaves[time]).statistics)


def _widen(footers: Footers, statistics: pq.Statistics | None) -> None:
    if statistics is None or not statistics.has_min_max:
        return
    stamps = [stamp for bound in (statistics.min, statistics.max) if (stamp := _stamp(bound)) is not None]
    for stamp in stamps:
        footers.first = stamp if footers.first is None else min(footers.first, stamp)
        footers.last = stamp if footers.last is None else max(footers.last, stamp)


def _widen_to_days(footers: Footers) -> None:
    """Where no footer tells a time: from the first day's beginning to the last one's end, if every file with rows is of a day."""
    days = [partition_day(file.name) for file in footers.source.files if sum(file.groups)]
    known = [day_number(day) for day in days if day]
    if known and len(known) == len(days):
        footers.first, footers.last = min(known) * DAY, (max(known) + 1) * DAY - 1


def _stamp(bound: Any) -> int | None:
    """Seconds since 1970 of a footer's bound: an integer, a date or a time."""
    if isinstance(bound, int):
        return int(seconds_of_integers(np.array([bound], np.int64))[0])
    return int(seconds_of_date(bound)) if isinstance(bound, date) else None


def _advise_on_groups(footers: Footers, split: str, streams: int, found: Findings) -> None:
    rows = [size for size in footers.group_rows if size]
    if not rows:
        return
    total, largest = sum(rows), max(rows)
    # A stream that begins inside a row group first decodes what is before; in a small log that is nothing.
    if largest > LARGE_GROUP or (total > LARGE_GROUP and largest * 4 * streams > total):
        found.warning(
            "row groups",
            f"data.{split}: row groups of up to {largest:,} rows are decoded several times, because each of {streams} streams may begin "
            "inside one; write groups of 32,768 to 65,536 rows",
        )
    if len(rows) > 4 * streams and median(rows) < SMALL_GROUP:
        found.warning(
            "row groups",
            f"data.{split}: {len(rows):,} row groups of {median(rows):,.0f} rows (median) cost more to open than to decode; "
            "write groups of 32,768 to 65,536 rows",
        )
