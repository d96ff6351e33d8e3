"""Small logs and configurations for the tests of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import TypeAdapter

from recsys.config import DataConfig, Feature, Task
from recsys.data.batch import Batch
from recsys.data.layout import Layout, layout
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics, fit_statistics


def features(*raw: dict[str, Any]) -> Layout:
    """The layout of features given as in YAML."""
    return layout(TypeAdapter(list[Feature]).validate_python(list(raw)))


def tasks(*raw: dict[str, Any]) -> list[Any]:
    """Tasks given as in YAML."""
    return TypeAdapter(list[Task]).validate_python(list(raw))


NUMBERED = features({"kind": "id", "name": "row", "buckets": 10**6, "encoding": "identity"})
CLICK = tasks({"kind": "binary", "name": "ctr", "label": "click"})


def numbered(rows: int, first: int = 0) -> pa.Table:
    """A log whose column `row` counts its rows."""
    return pa.table({"row": np.arange(first, first + rows), "click": np.arange(rows) % 2})


def write_numbered(folder: Path, files: Sequence[int], group: int) -> Path:
    """Files with the given numbers of rows, in row groups of `group` rows; `row` counts through all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    first = 0
    for number, rows in enumerate(files):
        pq.write_table(numbered(rows, first), folder / f"part-{number:03}.parquet", row_group_size=group)
        first += rows
    return folder


def data_config(**changes: Any) -> DataConfig:
    """A DataConfig with sizes for small logs."""
    return DataConfig(**{"train": "-", "valid": "-", "batch_size": 8, "streams": 4, "window": 16, "threads": 2, "prefetch": 2, **changes})


def numbered_reader(path: Path | str, *, config: DataConfig | None = None, **options: Any) -> Reader:
    """A reader of a numbered log."""
    return Reader([str(path)], config or data_config(), NUMBERED, CLICK, Statistics(features={}), **options)


def row_numbers(batch: Batch) -> list[int]:
    """Which rows of a numbered log are in a batch; padding is left out."""
    assert batch.sparse is not None
    rows = batch.sparse["row"].values() - 1
    assert torch.equal(rows < 0, batch.weights == 0)
    return rows[rows >= 0].tolist()


def read_one(path: Path, table: pa.Table, plan: Layout, heads: list[Any], *, weight: str | None = None, **options: Any) -> Batch:
    """The whole table as one batch, in its order."""
    pq.write_table(table, path, row_group_size=options.pop("group", 7))
    config = data_config(batch_size=max(1, len(table)), streams=1, weight=weight, window=max(1, len(table)))
    reader = Reader([str(path)], config, plan, heads, fit_statistics([str(path)], plan.features), shuffle=False, **options)
    (batch,) = reader.epoch(0)
    return batch
