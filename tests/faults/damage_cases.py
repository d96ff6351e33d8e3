"""Real damage to real files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def numbered(rows: int, first: int = 0) -> pa.Table:
    """A log whose column `row` counts its rows."""
    return pa.table({"row": np.arange(first, first + rows), "number": np.ones(rows), "click": np.arange(rows) % 2})


def write(folder: Path, files: list[int], group: int) -> list[Path]:
    """Files of so many rows in row groups of `group`, with page checksums; `row` counts through all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, first = [], 0
    for number, rows in enumerate(files):
        paths.append(folder / f"part-{number:03}.parquet")
        pq.write_table(numbered(rows, first), paths[-1], row_group_size=group, write_page_checksum=True)
        first += rows
    return paths


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """The file with another table in the same row groups."""
    with pq.ParquetFile(path) as file:
        group, table = max(1, file.metadata.row_group(0).num_rows), file.read()
    pq.write_table(change(table), path, row_group_size=group, write_page_checksum=True)


def put(column: str, row: int, value: float) -> Callable[[pa.Table], pa.Table]:
    """Another value in one row of the file."""

    def change(table: pa.Table) -> pa.Table:
        values = table[column].to_numpy().copy()
        values[row] = value
        return table.set_column(table.column_names.index(column), column, pa.array(values))

    return change


def retype(column: str, kind: pa.DataType) -> Callable[[pa.Table], pa.Table]:
    """One column in another type."""
    return lambda table: table.set_column(table.column_names.index(column), column, table[column].cast(kind))


def flip(path: Path, group: int = 0, column: int = 0) -> None:
    """One bit in the last byte of a column's pages: without the checksum it would be another value."""
    with pq.ParquetFile(path) as file:
        chunk = file.metadata.row_group(group).column(column)
    data = bytearray(path.read_bytes())
    data[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    """The file without its second half."""
    os.truncate(path, path.stat().st_size // 2)


def spoil_magic(path: Path) -> None:
    """The last four bytes are no longer PAR1."""
    path.write_bytes(path.read_bytes()[:-4] + b"ZAP1")
