"""The log's side of a table of scores: which row it is, the columns that ride along, labels and sample spaces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.arrow import plain
from recsys.data.columns import Rows
from recsys.data.decode import Decoder
from recsys.data.fingerprint import short_names
from recsys.data.guard import Guard
from recsys.data.layout import layout
from recsys.data.plan import Plan, Window
from recsys.data.source import open_source
from recsys.data.statistics import Statistics
from recsys.data.times import seconds_since_1970
from recsys.data.transforms import Transforms
from recsys.distributed import World
from recsys.errors import InputError
from recsys.offline.request import Request
from recsys.offline.stripes import Stripes

PART_ROWS = 1 << 18  # rows of a parquet file of scores


class LogRows:
    """The rows to evaluate, cut into parts of PART_ROWS consecutive ones."""

    def __init__(self, request: Request) -> None:
        """Looks at every footer. Raises InputError when a file lacks a column or has it in an unfit type."""
        self._tasks = request.tasks
        self._transforms = Transforms(layout([]), request.tasks, None, Statistics(features={}))
        self._columns, self._hours = list(request.columns), request.hours
        self._read = list(dict.fromkeys([*(need.column for need in request.needs), *self._transforms.columns]))
        self.source = open_source(request.data, [*self._transforms.needs, *request.needs], store=request.store)
        plan = Plan(self.source.groups, streams=1, step_rows=PART_ROWS, window_rows=PART_ROWS, seed=0, shuffle=False)
        self.parts = plan.windows(0)
        self.names = short_names([file.name for file in self.source.files])
        self._group_starts = [np.cumsum([0, *file.groups]) for file in self.source.files]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return self.source.rows

    def read(self, part: Window) -> Iterator[dict[str, pa.Array]]:
        """Columns of a part's rows, batch by batch: `file`, `row`, `log/COLUMN`, `label/TASK`, `valid/TASK`."""
        decoder = Decoder(self.source, self._read, Guard())
        for piece in part.pieces:
            first = int(self._group_starts[piece.file][piece.group]) + piece.first
            for where, batch in decoder.read(piece):
                columns = {
                    "file": pa.array([self.names[piece.file]]).take(pa.array(np.zeros(batch.num_rows, np.int32))),
                    "row": pa.array(np.arange(first, first + batch.num_rows)),
                }
                columns |= {f"log/{name}": plain(batch.column(name)) for name in self._columns}
                if self._hours:
                    seconds = seconds_since_1970(plain(batch.column(self._hours)).to_numpy(zero_copy_only=False))
                    columns["log/hour"] = pa.array((seconds // 3600 % 24).astype(np.int8))
                yield columns | self._labels(self._transforms(batch, where))
                first += batch.num_rows
        decoder.close()

    def _labels(self, rows: Rows) -> dict[str, pa.Array]:
        columns = {f"label/{task.name}": pa.array(rows.labels[:, place]) for place, task in enumerate(self._tasks)}
        return columns | {f"valid/{task.name}": pa.array(rows.masks[:, place]) for place, task in enumerate(self._tasks)}


def write_parts(request: Request, log: LogRows, stripes: Mapping[str, Stripes], world: World, advance: Callable[[], None]) -> None:
    """Write this rank's share of the parts to `request.scores`; the files don't depend on the number of ranks."""
    request.scores.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(log.parts):
        if number % world.size == world.rank:
            path = request.scores / f"part-{number:05d}.parquet"
            _write_part(request, log, part, stripes, path)
        advance()


def _write_part(request: Request, log: LogRows, part: Window, stripes: Mapping[str, Stripes], path: os.PathLike[str]) -> None:
    writer: pq.ParquetWriter | None = None
    first = part.start
    try:
        for columns in log.read(part):
            rows = len(columns["row"])
            for run, of_run in stripes.items():
                scores = of_run.read(first, rows)
                _refuse_missing(run, scores, columns, request)
                columns |= {f"score/{run}/{task.name}": pa.array(scores[:, place]) for place, task in enumerate(request.tasks)}
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            first += rows
    finally:
        if writer is not None:
            writer.close()


def _refuse_missing(run: str, scores: np.ndarray, columns: Mapping[str, pa.Array], request: Request) -> None:
    """A row that counts needs a score (a model gives one to every row, a file of someone else's scores may not)."""
    for place, task in enumerate(request.tasks):
        counts = columns[f"valid/{task.name}"].to_numpy(zero_copy_only=False)
        if missing := int(np.isnan(scores[counts, place]).sum()):
            where = f"{columns['file'][0]}, rows {columns['row'][0]} to {columns['row'][-1]}"
            raise InputError(
                f"candidate {run}, task {task.name}: {missing} rows that count have no score ({where}); "
                "score every row of the task's sample space"
            )
