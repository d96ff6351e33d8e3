"""Scores of someone else's model: a parquet file (or a folder of them) that names each row of the log.

| column | type | what |
| --- | --- | --- |
| `file` | string | the log's file: its path, or enough of that path's end to tell it from the others |
| `row` | integer | the row's place in the file, from 0 |
| the task's name, such as `ctr` | float | probability of a `binary` task, seconds of a `duration` |
| `label/TASK` (may be left out) | number | the label that the scores were made for, compared with the log's |

Rows may come in any order. A task may have null where a row is not in its sample space.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from recsys.config import Task
from recsys.data.arrow import floats, plain
from recsys.errors import InputError
from recsys.offline.rows import LogRows


def read_given(path: Path, log: LogRows, tasks: Sequence[Task]) -> NDArray[np.float32]:
    """(rows, K) scores in the order of the log, NaN where there is none.

    Raises InputError when rows are missing, unknown or repeated, or a score is none.
    """
    try:
        data = ds.dataset(path, format="parquet")
        table = data.to_table(columns=["file", "row", *(task.name for task in tasks)])
    except (pa.ArrowException, OSError, KeyError) as error:
        wanted = ", ".join(["file", "row", *(task.name for task in tasks)])
        raise InputError(f"{path}: no parquet of scores with columns {wanted} ({str(error).splitlines()[0]})") from error
    places = _places(path, table, log)
    scores = np.full((log.rows, len(tasks)), np.nan, np.float32)
    for place, task in enumerate(tasks):
        column = floats(plain(table.column(task.name).combine_chunks()))
        _refuse_impossible(path, task, column)
        scores[places, place] = column
    return scores


def _places(path: Path, table: pa.Table, log: LogRows) -> NDArray[np.int64]:
    """(n,) each row's place in the log; every row of the log once."""
    codes = plain(table.column("file").combine_chunks()).dictionary_encode()
    row = floats(plain(table.column("row").combine_chunks()))
    if codes.null_count or np.isnan(row).any():
        raise InputError(f"{path}: null in column 'file' or 'row'; every row needs both")
    sizes = np.array([sum(file.groups) for file in log.source.files])
    starts = np.cumsum(sizes) - sizes
    found = np.array([_file(path, name, log) for name in codes.dictionary.to_pylist()], np.int64)
    files = found[codes.indices.to_numpy()]
    beyond = np.flatnonzero((row < 0) | (row >= sizes[files]))
    if beyond.size:
        at = beyond[0]
        raise InputError(f"{path}: row {row[at]:.0f} of {log.names[files[at]]}, which has {sizes[files[at]]:,} rows; rows count from 0")
    places = starts[files] + row.astype(np.int64)
    times = np.bincount(places, minlength=log.rows)
    if (times != 1).any():
        kinds = [f"{int((times == 0).sum()):,} have no scores", f"{int((times > 1).sum()):,} have several"]
        raise InputError(f"{path}: of the log's {log.rows:,} rows {' and '.join(kinds)}; candidates are only compared on the same rows")
    return places


def _file(path: Path, name: str, log: LogRows) -> int:
    ending = "/" + name.lstrip("./")
    found = [place for place, file in enumerate(log.source.files) if ("/" + file.name).endswith(ending)]
    if len(found) != 1:
        what = "is no file" if not found else f"may be {len(found)} files"
        raise InputError(f"{path}: {name!r} in column 'file' {what} of the log, whose files are {', '.join(log.names[:5])}")
    return found[0]


def _refuse_impossible(path: Path, task: Task, column: NDArray[np.float64]) -> None:
    high = 1.0 if task.kind == "binary" else np.inf
    wrong = np.flatnonzero((column < 0) | (column > high) | np.isinf(column))
    if wrong.size:
        wanted = "probabilities in [0, 1]" if task.kind == "binary" else "seconds of 0 or more"
        raise InputError(f"{path}, column {task.name!r}: {wrong.size} scores such as {column[wrong[0]]:g}; the task takes {wanted}")


def refuse_other_labels(path: Path, run: str, log: LogRows, tasks: Sequence[Task]) -> None:
    """Raises InputError when labels that lie beside the scores are not those of the log."""
    own = [task for task in tasks if f"label/{task.name}" in ds.dataset(path, format="parquet").schema.names]
    if not own:
        return
    table = ds.dataset(path, format="parquet").to_table(columns=["file", "row", *(f"label/{task.name}" for task in own)])
    places = _places(path, table, log)
    theirs = {task.name: floats(plain(table.column(f"label/{task.name}").combine_chunks()))[np.argsort(places)] for task in own}
    first = 0
    for part in log.parts:
        for columns in log.read(part):
            rows = len(columns["row"])
            for task in own:
                valid = columns[f"valid/{task.name}"].to_numpy(zero_copy_only=False)
                label, other = floats(columns[f"label/{task.name}"]), theirs[task.name][first : first + rows]
                wrong = int(np.count_nonzero(valid & ~(label == other.astype(np.float32))))
                if wrong:
                    at = int(np.flatnonzero(valid & ~(label == other.astype(np.float32)))[0])
                    raise InputError(
                        f"candidate {run}, task {task.name}: its labels differ from column {task.label!r} of the log in {wrong} rows, "
                        f"first {columns['file'][at]} row {columns['row'][at]}: {other[at]:g} and {label[at]:g}"
                    )
            first += rows
