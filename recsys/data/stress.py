"""A log derived from another one to put strategies to the test: a label with noise, a label that contradicts another."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.config_file import nearest
from recsys.data.schema import Column, Schema
from recsys.data.writer import LogWriter
from recsys.errors import InputError

NOISY = ("train", "valid")  # what is learned from and chosen on; the test split keeps its labels, so that its metrics say what was learned


@dataclass(frozen=True)
class Stress:
    """What is done to a log.

    flip: label (0 or 1) -> share of the rows of train and valid in which it is turned round, drawn row by row. opposite: new label -> the
    label that it is 1 minus of, in all splits, before any noise. A row without a label stays without one.
    """

    flip: Mapping[str, float] = field(default_factory=dict)
    opposite: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0


def derive(source: Path, output: Path, stress: Stress) -> Schema:
    """Write the log in folder `source`, which `recsys prepare` or `generate` wrote, with `stress` to `output`. Its description.

    What is drawn depends on seed, label, file and row group alone. Raises InputError for a label that isn't there or isn't 0 and 1.
    """
    schema = _described(Schema.load(source), stress, source)
    files = sorted(source.glob("split=*/**/*.parquet"))
    if output.resolve() == source.resolve():
        raise InputError(f"--output {output}: is the log itself; name another folder")
    with LogWriter(output, schema) as log:
        for path in files:
            relative = path.relative_to(source)
            partition = dict(part.split("=", 1) for part in relative.parts[:-1])
            for group, table in _row_groups(path):
                changed = _changed(table, stress, partition["split"], f"{relative.as_posix()}/{group}", path)
                log.write(changed, partition["split"], partition.get("date"))
    return log.schema


def _described(schema: Schema, stress: Stress, source: Path) -> Schema:
    """With what was done, and the new labels."""
    labels = {column.name: column for column in schema.columns if column.kind == "label"}
    for name in [*stress.flip, *stress.opposite.values()]:
        if name not in labels:
            raise InputError(f"{source}: has no label {name!r}{nearest(name, list(labels))}")
    taken = {column.name for column in schema.columns}
    for name in stress.opposite:
        if name in taken:
            raise InputError(f"--opposite {name}=...: the log has a column {name!r} already; choose another name")
    for name, share in stress.flip.items():
        if not 0 < share < 1:
            raise InputError(f"--flip {name}={share:g}: must be a share between 0 and 1")
    told = [f"{name}: turned round in {share:.0%} of the rows of {' and '.join(NOISY)}" for name, share in stress.flip.items()]
    told += [f"{name}: 1 - {label}" for name, label in stress.opposite.items()]
    new = [
        Column(name=name, type=labels[label].type, kind="label", description=f"1 - {label}: a task that contradicts it.")
        for name, label in stress.opposite.items()
    ]
    description = f"{schema.description} Derived with seed {stress.seed}: {'; '.join(told)}."
    return schema.model_copy(update={"columns": [*schema.columns, *new], "description": description})


def _row_groups(path: Path) -> Iterator[tuple[int, pa.Table]]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield group, file.read_row_group(group)


def _changed(table: pa.Table, stress: Stress, split: str, where: str, path: Path) -> pa.Table:
    for name, label in stress.opposite.items():
        table = table.append_column(name, _turned(table[label], np.ones(table.num_rows, bool), label, path))
    for name, share in stress.flip.items() if split in NOISY else ():
        draws = np.random.default_rng([stress.seed, zlib.crc32(f"{name}/{where}".encode())]).random(table.num_rows)
        table = table.set_column(table.column_names.index(name), table.schema.field(name), _turned(table[name], draws < share, name, path))
    return table


def _turned(label: pa.ChunkedArray, rows: NDArray[np.bool_], name: str, path: Path) -> pa.ChunkedArray:
    """1 minus the label in the given rows, of the same type."""
    number = pc.cast(label, pa.float64())
    if pc.any(pc.invert(pc.is_in(pc.drop_null(number), pa.array([0.0, 1.0])))).as_py():
        raise InputError(f"{path}: label {name!r} is not 0 or 1 in every row; only such labels can be turned round")
    turned = pc.if_else(pa.array(rows), pc.subtract(1.0, number), number)
    return pa.chunked_array([pc.cast(turned, label.type).combine_chunks()])
