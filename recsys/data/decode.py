"""Row groups decoded batch by batch, in bounded memory however large they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.data.plan import Piece
from recsys.data.source import Source
from recsys.data.stores import failure, first_line
from recsys.errors import InputError


class Decoder:
    """Decodes pieces of row groups; going on where the last piece ended costs nothing, starting in the middle decodes what is before it.

    Holds one open file, the compressed bytes of the needed columns of one row group, and one decoded batch.
    """

    def __init__(self, source: Source, columns: Sequence[str], batch_rows: int = 32768) -> None:
        self._source, self._columns, self._batch_rows = source, list(columns), batch_rows
        self._file: tuple[int, pq.ParquetFile] | None = None
        self._next: tuple[int, int, int] | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._rest: pa.RecordBatch | None = None

    def read(self, piece: Piece) -> Iterator[tuple[str, pa.RecordBatch]]:
        """(where, for messages; batch) of the rows of a piece. Raises InputError when they cannot be decoded."""
        where = f"{self._source.files[piece.file].name}, row group {piece.group}"
        if self._next != (piece.file, piece.group, piece.first):
            self._begin(piece.file, piece.group, where)
            for _ in self._take(piece.first, where):
                pass
        for batch in self._take(piece.rows, where):
            yield where, batch
        self._next = (piece.file, piece.group, piece.first + piece.rows)

    def close(self) -> None:
        """Close the open file."""
        self._batches, self._rest, self._next = iter(()), None, None
        if self._file:
            self._file[1].close(force=True)
            self._file = None

    def _begin(self, file: int, group: int, where: str) -> None:
        if self._file is None or self._file[0] != file:
            self.close()
            with _readable(where):
                self._file = file, self._source.files[file].open()
        assert self._file is not None
        self._rest, self._next = None, None
        self._batches = self._file[1].iter_batches(self._batch_rows, row_groups=[group], columns=self._columns, use_threads=False)

    def _take(self, rows: int, where: str) -> Iterator[pa.RecordBatch]:
        """The next rows of the open row group."""
        while rows:
            batch = self._rest
            if batch is None:
                with _readable(where):
                    batch = next(self._batches, None)
            if batch is None:
                raise InputError(f"{where}: ends {rows} rows before its footer says; write the file again")
            self._rest = batch.slice(rows) if batch.num_rows > rows else None
            rows -= min(rows, batch.num_rows)
            yield batch if self._rest is None else batch.slice(0, batch.num_rows - self._rest.num_rows)


@contextmanager
def _readable(where: str) -> Iterator[None]:
    """Turns what pyarrow raises into an InputError, or a JobError where a store doesn't answer."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise failure(where, error) or InputError(
            f"{where}: cannot be decoded ({first_line(error)}); write the file again or leave it out"
        ) from error
