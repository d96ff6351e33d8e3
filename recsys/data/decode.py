"""Row groups decoded batch by batch, in bounded memory however large they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.guard import Damage, Guard, Kind
from recsys.data.plan import Piece
from recsys.data.source import Source
from recsys.data.stores import failure, first_line
from recsys.errors import JobError

BATCH_ROWS = 32_768
BATCH_VALUES = 4_000_000


class Decoder:
    """Decodes pieces of row groups; going on where the last piece ended costs nothing, starting in the middle decodes what is before it.

    Holds one open file, the compressed bytes of the needed columns of one row group, and one decoded batch: 32,768 rows, or fewer where
    lists are so long that a column would have more than 4 million values in it.
    """

    def __init__(self, source: Source, columns: Sequence[str], guard: Guard) -> None:
        self._source, self._columns, self._guard = source, list(columns), guard
        self._file: tuple[int, pq.ParquetFile] | None = None
        self._next: tuple[int, int, int] | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None

    def read(self, piece: Piece) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(where, for messages; batch) of the rows of a piece. Raises Damage when they cannot be decoded.

        Whether it does is the same however much was read before: a stream's share of a row group is always decoded in the same batches.
        """
        where = f"{self._source.files[piece.file].name}, row group {piece.group}"
        if self._next != (piece.file, piece.group, piece.first):
            self._begin(piece, where)
            for _ in self._take(piece.first, where):
                pass
        self._next = None
        for batch in self._take(piece.rows, where):
            yield where, batch
        self._next = (piece.file, piece.group, piece.first + piece.rows)

    def close(self) -> None:
        """Close the open file."""
        self._batches, self._rest, self._next = iter(()), None, None
        if self._file:
            self._file[1].close(force=True)
            self._file = None

    def _begin(self, piece: Piece, where: str) -> None:
        if self._file is None or self._file[0] != piece.file:
            self.close()
            with self._readable(where, "file"):
                self._file = piece.file, self._source.files[piece.file].open()
        assert self._file is not None
        self._rest, self._next, parquet = None, None, self._file[1]
        rows = batch_rows(parquet.metadata.row_group(piece.group), self._columns, piece.end)
        self._batches = parquet.iter_batches(rows, row_groups=[piece.group], columns=self._columns, use_threads=False)

    def _take(self, rows: int, where: str) -> Iterator[pa.RecordBatch]:
        """The next rows of the open row group."""
        while rows:
            batch = self._rest
            if batch is None:
                with self._readable(where, "page"):
                    batch = next(self._batches, None)
            if batch is None:
                raise Damage("page", f"{where}: ends {rows} rows before its footer says; write the file again")
            self._rest = batch.slice(rows) if batch.num_rows > rows else None
            rows -= min(rows, batch.num_rows)
            yield batch if self._rest is None else batch.slice(0, batch.num_rows - self._rest.num_rows)

    @contextmanager
    def _readable(self, where: str, kind: Kind) -> Iterator[None]:
        """Turns what pyarrow raises into Damage, or a JobError where a store doesn't answer."""
        try:
            with self._guard.reading(where):
                yield
        except (pa.ArrowException, OSError) as error:
            found = failure(where, error)
            if isinstance(found, JobError):
                raise found from error
            told = found or f"{where}: cannot be decoded ({first_line(error)}); write the file again or leave it out"
            raise Damage(kind, str(told)) from error


def batch_rows(group: pq.RowGroupMetaData, columns: Sequence[str], end: int) -> int:
    """Rows of a row group to decode at a time: by the footer's count of values, which lists of 100,000 cannot escape.

    A batch ends at row `end`, behind which nothing is wanted.
    """
    chunks = (group.column(index) for index in range(group.num_columns))
    values = max((chunk.num_values for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns), default=0)
    most = max(1, min(BATCH_ROWS, BATCH_VALUES * group.num_rows // max(1, values)))
    return max(1, -(-end // max(1, -(-end // most))))
