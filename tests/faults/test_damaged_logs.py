"""Every kind of damage stops the job in one line, or is skipped and counted, the same on any number of ranks."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damage_cases import flip, put, retype, rewrite, spoil_magic, truncate, write
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from recsys.config import DataConfig, Feature, Task
from recsys.data.guard import KINDS, Guard, OnErrorConfig
from recsys.data.layout import layout
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics, fit_statistics
from recsys.errors import InputError

LAYOUT = layout(
    TypeAdapter(list[Feature]).validate_python(
        [
            {"kind": "id", "name": "row", "buckets": 10**6, "encoding": "identity"},
            {"kind": "bucket", "name": "number", "boundaries": [0.5]},
        ]
    )
)
CLICK = TypeAdapter(list[Task]).validate_python([{"kind": "binary", "name": "ctr", "label": "click"}])


def reader(folder: Path, on_error: Any = "skip", rank: int = 0, world_size: int = 1, **changes: Any) -> Reader:
    sizes = {"batch_size": 8, "streams": 4, "window": 16, "threads": 2, "prefetch": 2, "skip_budget": 1.0}
    config = DataConfig(**{"train": "-", "valid": "-", **sizes, "on_error": on_error, **changes})
    return Reader([str(folder)], config, LAYOUT, CLICK, Statistics(features={}), rank=rank, world_size=world_size)


def rows_of(batch: Any) -> list[int]:
    rows = batch.sparse["row"].values() - 1
    return rows[rows >= 0].tolist()


def steps(folder: Path, world_size: int = 1, start_step: int = 0, **changes: Any) -> tuple[list[list[int]], np.ndarray]:
    """The rows of each step over all ranks, and the rows skipped by kind."""
    readers = [reader(folder, rank=rank, world_size=world_size, **changes) for rank in range(world_size)]
    ranks = [[rows_of(batch) for batch in each.epoch(1, start_step)] for each in readers]
    return [[row for part in step for row in part] for step in zip(*ranks, strict=True)], sum(each.take_skipped() for each in readers)


def without_column(table: pa.Table) -> pa.Table:
    return table.drop_columns("click")


Case = tuple[Callable[[Path], object], str, str]
AT_PLANNING: dict[str, Case] = {
    "truncated": (truncate, "file", "not a whole parquet file"),
    "bad magic": (spoil_magic, "file", "not a whole parquet file"),
    "empty": (lambda path: path.write_bytes(b""), "file", "not a whole parquet file"),
    "missing column": (lambda path: rewrite(path, without_column), "column", "no column 'click' for the label of task 'ctr'"),
    "type drift": (lambda path: rewrite(path, retype("click", pa.string())), "column", "column 'click' is string"),
}
AT_RUN_TIME: dict[str, Case] = {
    "flipped bit": (lambda path: flip(path, 1), "page", r"row group 1: cannot be decoded \(.*CRC checksum"),
    "NaN": (lambda path: rewrite(path, put("number", 14, np.nan)), "value", r"row group 1, column 'number': NaN or infinity"),
    "infinity": (lambda path: rewrite(path, put("number", 14, np.inf)), "value", "NaN or infinity"),
    "label of 7": (lambda path: rewrite(path, put("click", 14, 7)), "value", r"row group 1, column 'click': value 7"),
    "negative id": (lambda path: rewrite(path, put("row", 14, -3)), "value", r"row group 1, column 'row'"),
    "id beyond the table": (lambda path: rewrite(path, put("row", 14, 2**40)), "value", r"row group 1, column 'row'"),
}


@pytest.mark.parametrize("name", AT_PLANNING)
def test_a_file_that_is_damaged_stops_the_job_or_leaves_the_plan(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    damage, kind, told = AT_PLANNING[name]
    _, path, _ = write(tmp_path, [40, 30, 20], group=10)
    damage(path)
    with pytest.raises(InputError, match=rf"part-001\.parquet: .*{told}") as caught:
        reader(tmp_path, on_error={other: "skip" for other in KINDS if other != kind})
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING):
        rest = reader(tmp_path, on_error={kind: "skip"})
    assert caplog.messages == [f"skipped: {caught.value}"]
    assert (rest.rows, rest.lost_files) == (60, {kind: 1})
    taken, skipped = steps(tmp_path)
    assert sorted(row for step in taken for row in step) == [*range(40), *range(70, 90)] and not skipped.any()
    with pytest.raises(InputError, match=r"of \d+ rows were skipped, more than data\.skip_budget 0\.01 permits"):
        reader(tmp_path, skip_budget=0.01)


@pytest.mark.parametrize("name", AT_RUN_TIME)
def test_a_row_group_that_is_damaged_stops_the_job_or_is_counted(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    damage, kind, told = AT_RUN_TIME[name]
    _, path, _ = write(tmp_path, [40, 30, 20], group=10)
    damage(path)
    with pytest.raises(InputError, match=rf"part-001\.parquet, .*{told}") as caught:
        list(reader(tmp_path, on_error={other: "skip" for other in KINDS if other != kind}).epoch(0))
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING):
        taken, skipped = steps(tmp_path, streams=1, window=100)
    missing = set(range(90)) - {row for step in taken for row in step}
    assert missing == set(range(50, 60)) and sum(map(len, taken)) == 80
    assert dict(zip(KINDS, skipped, strict=True)) == {"file": 0, "column": 0, "page": 0, "value": 0} | {kind: 10}
    assert caplog.messages == [f"skipped: {caught.value}"]
    with pytest.raises(InputError, match=r"\d+ of 90 rows were skipped, more than data\.skip_budget 0\.05 permits"):
        list(reader(tmp_path, skip_budget=0.05).epoch(0))


def test_ids_that_are_strings_in_one_file_are_drift(tmp_path: Path) -> None:
    """Each file is fit for the feature alone, but equal ids would get different rows of the table."""
    hashed = layout(TypeAdapter(list[Feature]).validate_python([{"kind": "id", "name": "row", "buckets": 100}]))
    _, path = write(tmp_path, [4, 6], group=10)
    rewrite(path, retype("row", pa.string()))
    config = DataConfig(train="-", valid="-", batch_size=8, skip_budget=1, on_error="skip")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"part-001\.parquet: column 'row' holds strings, but integers in \S+part-000\.parquet"):
        Reader([str(tmp_path)], config.model_copy(update={"on_error": OnErrorConfig()}), hashed, CLICK, Statistics(features={}))
    rest = Reader([str(tmp_path)], config, hashed, CLICK, Statistics(features={}))
    assert (rest.rows, rest.lost_files) == (4, {"column": 1})


def test_nulls_and_empty_row_groups_are_no_damage(tmp_path: Path) -> None:
    write(tmp_path, [40, 0, 20], group=10)
    with pq.ParquetWriter(tmp_path / "part-003.parquet", pq.read_schema(tmp_path / "part-000.parquet")) as writer:
        table = pq.read_table(tmp_path / "part-000.parquet")
        for part in (table[:0], table[:5], table[:0]):
            writer.write_table(part.set_column(2, "click", pa.nulls(len(part), pa.int64())))
    taken, skipped = steps(tmp_path)
    assert sum(map(len, taken)) == 65 and not skipped.any()


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_a_file_that_goes_under_the_reader_is_skipped_and_counted(tmp_path: Path, what: str) -> None:
    _, path, _ = write(tmp_path, [40, 30, 20], group=10)
    readers = [reader(tmp_path, rank=rank, world_size=2) for rank in range(2)]
    if what == "deleted":
        path.unlink()
    else:
        rewrite(path, put("number", 3, 2.0))
    rows = sorted(row for each in readers for batch in each.epoch(0) for row in rows_of(batch))
    assert rows == [*range(40), *range(70, 90)]
    assert sum(each.take_skipped()[KINDS.index("file")] for each in readers) == 30


@contextmanager
def somebody_else() -> Iterator[None]:
    """Not root, who may read everything."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read_is_named_or_skipped() -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        _, path, _ = write(folder, [40, 30, 20], group=10)
        path.chmod(0)
        steps_before = reader(folder).rows if os.geteuid() == 0 else 90
        with somebody_else():
            with pytest.raises(InputError, match=r"part-001\.parquet: .*Permission denied"):
                reader(folder, on_error="stop")
            rest = reader(folder)
        assert (steps_before, rest.rows, rest.lost_files) == (90, 60, {"file": 1})
    finally:
        shutil.rmtree(folder)


damaged = st.fixed_dictionaries(
    {
        "files": st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any),
        "group": st.integers(1, 20),
        "streams": st.integers(1, 4),
        "step_rows": st.integers(1, 5),
        "window": st.integers(1, 30),
    }
)


@settings(max_examples=25, deadline=None)
@given(shape=damaged, data=st.data())
def test_what_is_skipped_depends_on_the_plan_and_the_data_alone(
    tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("log")
    bad, first = {"page": set(), "value": set()}, 0
    for path, rows in zip(write(folder, shape["files"], shape["group"]), shape["files"], strict=True):
        for group in range(-(-rows // shape["group"])):
            span = range(group * shape["group"], min(rows, (group + 1) * shape["group"]))
            kind = data.draw(st.sampled_from(["none", "none", "page", "value"]))
            if kind == "value":
                rewrite(path, put("number", data.draw(st.sampled_from(span)), np.nan))
            if kind != "none":
                bad[kind] |= {first + row for row in span}
        first += rows
    first = 0
    for path, rows in zip(sorted(folder.iterdir()), shape["files"], strict=True):
        for group in range(-(-rows // shape["group"])):
            if first + group * shape["group"] in bad["page"]:
                flip(path, group)
        first += rows
    sizes = {"streams": shape["streams"], "batch_size": shape["streams"] * shape["step_rows"], "window": shape["window"]}
    alone, skipped = steps(folder, **sizes)
    taken = [row for step in alone for row in step]
    missing = set(range(first)) - set(taken)
    assert len(taken) == len(set(taken)) and bad["page"] <= missing <= bad["page"] | bad["value"]
    assert skipped.tolist() == [0, 0, len(bad["page"]), len(missing - bad["page"])]
    for world_size in range(2, shape["streams"] + 1):
        again, counts = steps(folder, world_size, **sizes)
        assert again == alone and counts.tolist() == skipped.tolist()
    start_step = data.draw(st.integers(0, len(alone)))
    rest, counts = steps(folder, shape["streams"], start_step, **sizes)
    assert rest == alone[start_step:]
    sizes_of_streams = [first // shape["streams"] + (stream < first % shape["streams"]) for stream in range(shape["streams"])]
    planned = sum(max(0, size - start_step * shape["step_rows"]) for size in sizes_of_streams)
    assert counts.sum() + sum(map(len, rest)) == planned


def test_statistics_are_fitted_on_what_is_left(tmp_path: Path) -> None:
    learned = layout(TypeAdapter(list[Feature]).validate_python([{"kind": "number", "name": "number"}])).features
    _, path = write(tmp_path, [40, 30], group=10)
    flip(path, 1, column=1)
    with pytest.raises(InputError, match=r"part-001\.parquet, row group 1: cannot be decoded"):
        fit_statistics([str(tmp_path)], learned)
    guard = Guard(OnErrorConfig(page="skip"))
    assert fit_statistics([str(tmp_path)], learned, guard=guard).features["number"]["count"] == 60


def test_lists_of_100_000_are_decoded_in_bounded_memory(tmp_path: Path) -> None:
    """One row group of 25 million values; decoded at once they would be 200 MB and more."""
    lists = pa.ListArray.from_arrays(np.arange(251, dtype=np.int32) * 100_000, pa.array(np.tile(np.arange(1000), 25_000)))
    pq.write_table(pa.table({"tags": lists, "click": np.arange(250) % 2}), tmp_path / "x.parquet")
    del lists
    tags = layout(TypeAdapter(list[Feature]).validate_python([{"kind": "ids", "name": "tags", "buckets": 1000, "max_length": 5}]))
    config = DataConfig(train="-", valid="-", batch_size=8, streams=1, window=32, prefetch=1)  # type: ignore[arg-type]
    pa.default_memory_pool().release_unused()
    before = pa.total_allocated_bytes()
    peak = max(pa.total_allocated_bytes() for _ in Reader([str(tmp_path)], config, tags, CLICK, Statistics(features={})).epoch(0))
    assert peak - before < 120e6
