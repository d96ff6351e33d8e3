"""Writes a log as parquet files, one folder a split and a day, at constant memory."""

from __future__ import annotations

import shutil
from collections import OrderedDict, defaultdict
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.data.schema import FILE_NAME, Column, Schema, Split
from recsys.errors import InputError

ROW_GROUP = 65_536
FILE_ROWS = 16 * ROW_GROUP
OPEN_PARTITIONS = 4


class LogWriter:
    """A log that appears at `output` when the `with` block ends well, and not at all when it doesn't.

    Files are OUTPUT/split=SPLIT/date=DATE/part-NNNNN.parquet (no `date` folder for logs without days), zstd, with page checksums, in row
    groups of 65,536 rows. Everything is first written to a hidden folder beside `output`; an earlier log at `output` is replaced as a
    whole. At most 4 partitions are open, so memory is bounded however many there are.

    Example::

        with LogWriter(Path("log"), schema) as log:
            log.write(table, "train", "2022-04-25")
        log.schema.splits["train"].rows

    Raises InputError when `output` holds anything that is not part of a log.
    """

    def __init__(self, output: Path, schema: Schema) -> None:
        self.schema = schema
        self._output = output
        self._partial = output.parent / f".{output.name}.partial"
        self._replaced = output.parent / f".{output.name}.replaced"
        self._labels = schema.of_kind("label")
        self._dictionaries = [_leaf(column) for column in schema.columns if column.kind != "time" and column.type != "float"]
        self._open: OrderedDict[Path, _Partition] = OrderedDict()
        self._tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
        self._best: dict[str, dict[str, float]] = {}

    def __enter__(self) -> LogWriter:
        _require_a_folder(self._output)
        _require_a_log_or_nothing(self._output)
        if self._replaced.exists() and not self._output.exists():
            self._replaced.rename(self._output)  # a run was killed between the two renames of _publish
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for partition in self._open.values():
            partition.close()
        if error is None:
            self._publish()
        else:
            shutil.rmtree(self._partial, ignore_errors=True)

    def write(self, table: pa.Table, split: str, date: str | None = None) -> None:
        """Append the rows of `table` to one partition."""
        if not table.num_rows:
            return
        folder = self._partial / f"split={split}" / (f"date={date}" if date else "")
        self._partition(folder).write(table)
        self._tallies[split].add(table, self._labels)

    def record_best(self, best: dict[str, dict[str, float]]) -> None:
        """Note for each split what the true probabilities score."""
        self._best = best

    def _partition(self, folder: Path) -> _Partition:
        if folder not in self._open:
            if len(self._open) == OPEN_PARTITIONS:
                self._open.popitem(last=False)[1].close()
            self._open[folder] = _Partition(folder, self._dictionaries)
        self._open.move_to_end(folder)
        return self._open[folder]

    def _publish(self) -> None:
        splits = {
            split: Split(rows=tally.rows, rates=tally.rates, best=self._best.get(split, {})) for split, tally in self._tallies.items()
        }
        self.schema = self.schema.with_splits(splits)
        self.schema.save(self._partial)
        shutil.rmtree(self._replaced, ignore_errors=True)
        if self._output.exists():
            self._output.rename(self._replaced)
        self._partial.rename(self._output)
        shutil.rmtree(self._replaced, ignore_errors=True)


class _Partition:
    """The part files of one folder; rows wait until they fill a row group."""

    def __init__(self, folder: Path, dictionaries: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._dictionaries = dictionaries
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._file_rows = 0

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_rows += table.num_rows
        if self._waiting_rows >= ROW_GROUP:
            rows = pa.concat_tables(self._waiting)
            whole = rows.num_rows // ROW_GROUP * ROW_GROUP
            for start in range(0, whole, ROW_GROUP):
                self._row_group(rows.slice(start, ROW_GROUP))
            self._waiting, self._waiting_rows = [rows.slice(whole)], rows.num_rows - whole

    def close(self) -> None:
        if self._waiting_rows:
            self._row_group(pa.concat_tables(self._waiting))
        if self._writer is not None:
            self._writer.close()

    def _row_group(self, rows: pa.Table) -> None:
        if self._writer is not None and self._file_rows >= FILE_ROWS:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            number = len(list(self._folder.iterdir()))
            path = self._folder / f"part-{number:05d}.parquet"
            self._writer = pq.ParquetWriter(
                path, rows.schema, compression="zstd", use_dictionary=self._dictionaries, write_page_checksum=True
            )
            self._file_rows = 0
        self._writer.write_table(rows, row_group_size=ROW_GROUP)
        self._file_rows += rows.num_rows


class _Tally:
    """Rows of a split, and the sum and number of each label."""

    def __init__(self) -> None:
        self.rows = 0
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, table: pa.Table, labels: list[str]) -> None:
        self.rows += table.num_rows
        for label in labels:
            self._sums[label] += float(pc.sum(table[label]).as_py() or 0)
            self._counts[label] += table.num_rows - table[label].null_count

    @property
    def rates(self) -> dict[str, float]:
        return {label: self._sums[label] / count for label, count in self._counts.items() if count}


def _leaf(column: Column) -> str:
    """Parquet's name of the values of a column, for those that repeat and gain from a dictionary."""
    return f"{column.name}.list.element" if column.type.startswith("list<") else column.name


def _require_a_folder(output: Path) -> None:
    if output.parts and output.parts[0].endswith(":"):
        raise InputError(
            f"{output.parts[0]}//...: a log is written to a local folder; write it there and copy it with the store's own tool"
        )


def _require_a_log_or_nothing(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: is a file; name a folder for the log")
    names = [path.name for path in output.iterdir()] if output.exists() else []
    strange = sorted(name for name in names if name != FILE_NAME and not name.startswith("split="))
    if strange or (names and FILE_NAME not in names):
        what = f"holds {strange[0]}" if strange else f"has no {FILE_NAME}"
        raise InputError(f"{output}: {what}, so it is not a log that could be replaced; name an empty or new folder")
