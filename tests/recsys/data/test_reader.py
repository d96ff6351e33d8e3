from __future__ import annotations

import gc
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import CLICK, data_config, features, numbered, numbered_reader, read_one, row_numbers, tasks, write_numbered

from recsys.config import DataConfig
from recsys.data.batch import Batch
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics
from recsys.errors import InputError

OUR_THREADS = ("windows", "batches", "footers", "statistics")


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(OUR_THREADS)]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert our_threads() == []


shapes = st.fixed_dictionaries(
    {
        "files": st.lists(st.integers(0, 30), min_size=1, max_size=4).filter(any),
        "group": st.integers(1, 40),
        "streams": st.integers(1, 5),
        "step_rows": st.integers(1, 7),
        "window": st.integers(1, 30),
        "threads": st.integers(1, 3),
        "shuffle": st.booleans(),
    }
)


def readers(folder: Path, shape: dict[str, Any], world_size: int) -> list[Reader]:
    config = data_config(
        streams=shape["streams"], batch_size=shape["streams"] * shape["step_rows"], window=shape["window"], threads=shape["threads"]
    )
    return [
        numbered_reader(folder, config=config, shuffle=shape["shuffle"], rank=rank, world_size=world_size, seed=3)
        for rank in range(world_size)
    ]


def global_steps(folder: Path, shape: dict[str, Any], world_size: int, epoch: int, start_step: int = 0) -> list[list[int]]:
    """The rows of each step, of all ranks in rank order; checks that every rank has every step, with a row in it."""
    ranks = [list(reader.epoch(epoch, start_step)) for reader in readers(folder, shape, world_size)]
    assert all(len(batch.weights) for batches in ranks for batch in batches)
    return [[row for batch in step for row in row_numbers(batch)] for step in zip(*ranks, strict=True)]


@settings(max_examples=30, deadline=None)
@given(shape=shapes, data=st.data())
def test_every_row_once_the_same_batches_on_any_number_of_ranks_and_resumable(
    tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any], data: st.DataObject
) -> None:
    folder = write_numbered(tmp_path_factory.mktemp("log"), shape["files"], shape["group"])
    total = sum(shape["files"])
    alone = global_steps(folder, shape, 1, epoch=1)
    rows = [row for step in alone for row in step]
    assert sorted(rows) == list(range(total))
    assert len(alone) == len(readers(folder, shape, 1)[0])
    assert all(len(step) == shape["streams"] * shape["step_rows"] for step in alone[: total // (shape["streams"] * shape["step_rows"])])
    for world_size in range(2, shape["streams"] + 1):
        assert global_steps(folder, shape, world_size, epoch=1) == alone
    start_step, world_size = data.draw(st.integers(0, len(alone))), data.draw(st.integers(1, shape["streams"]))
    assert global_steps(folder, shape, world_size, 1, start_step) == alone[start_step:]


def test_world_sizes_1_2_and_4_with_unequal_shards_and_one_row_group(tmp_path: Path) -> None:
    shape = {"streams": 4, "step_rows": 2, "window": 8, "threads": 2, "shuffle": True}
    for files in ([101, 3, 40], [37], [2]):
        folder = write_numbered(tmp_path / str(len(files) + files[0]), files, group=1000)
        alone = global_steps(folder, shape, 1, epoch=0)
        assert sorted(row for step in alone for row in step) == list(range(sum(files)))
        assert global_steps(folder, shape, 2, epoch=0) == alone
        assert global_steps(folder, shape, 4, epoch=0) == alone


def test_the_order_is_that_of_seed_and_epoch(tmp_path: Path) -> None:
    write_numbered(tmp_path, [100, 60], group=20)

    def order(epoch: int, **options: object) -> list[int]:
        return [row for batch in numbered_reader(tmp_path, **options).epoch(epoch) for row in row_numbers(batch)]  # type: ignore[arg-type]

    assert order(0, seed=1) == order(0, seed=1)
    assert order(0, seed=1) != order(1, seed=1)
    assert order(0, seed=1) != order(0, seed=2)
    assert order(0, shuffle=False) == order(5, shuffle=False, seed=7)


def test_one_stream_without_shuffle_is_the_order_of_the_files(tmp_path: Path) -> None:
    write_numbered(tmp_path, [50, 0, 33], group=7)
    reader = numbered_reader(tmp_path, config=data_config(streams=1), shuffle=False)
    assert [row for batch in reader.epoch(0) for row in row_numbers(batch)] == list(range(83))
    assert (reader.rows, len(reader)) == (83, 11)


def test_a_rank_without_rows_gets_one_that_counts_for_nothing(tmp_path: Path) -> None:
    layout = features({"kind": "id", "name": "row", "buckets": 9}, {"kind": "ids", "name": "tags", "buckets": 9})
    pq.write_table(pa.table({"row": [1], "tags": [[1]], "click": [1]}), tmp_path / "x.parquet")
    reader = Reader([str(tmp_path)], data_config(), layout, CLICK, Statistics(features={}), rank=1, world_size=2)
    (batch,) = reader.epoch(0)
    assert batch.sparse is not None
    assert (batch.sparse["row"].values().tolist(), batch.sparse["tags"].lengths().tolist()) == ([0], [0])
    assert (batch.labels.tolist(), batch.masks.tolist(), batch.weights.tolist()) == ([[0.0]], [[False]], [0.0])
    assert batch.dense.shape == (1, 0)


def test_a_batch_survives_what_pipelines_do_to_it(tmp_path: Path) -> None:
    layout = features({"kind": "id", "name": "row", "buckets": 9}, {"kind": "number", "name": "click"})
    batch = read_one(tmp_path / "x.parquet", numbered(5), layout, CLICK).to(torch.device("cpu"))
    assert isinstance(batch, Batch)
    assert batch.sparse is not None
    assert batch.sparse.length_per_key() == [5]
    assert batch.sparse.permute([0])["row"].values().tolist() == batch.sparse["row"].values().tolist()


def test_closing_early_stops_the_threads_promptly(tmp_path: Path) -> None:
    write_numbered(tmp_path, [20000], group=500)
    for taken in (0, 1, 5):
        iterator = numbered_reader(tmp_path, config=data_config(window=4000)).epoch(0)
        for _ in range(taken):
            next(iterator)
        if taken:
            assert our_threads()
            time.sleep(0.05)  # the queue fills, so that the thread waits for room
        start = time.monotonic()
        iterator.close()  # type: ignore[attr-defined]
        assert our_threads() == []
        assert time.monotonic() - start < 2


def test_dropping_the_iterator_stops_the_threads(tmp_path: Path) -> None:
    write_numbered(tmp_path, [5000], group=500)
    for _ in numbered_reader(tmp_path).epoch(0):
        break
    gc.collect()
    assert our_threads() == []


def test_several_epochs_may_be_open_at_once(tmp_path: Path) -> None:
    write_numbered(tmp_path, [60], group=20)
    reader = numbered_reader(tmp_path)
    pairs = list(zip(reader.epoch(0), reader.epoch(1), strict=True))
    for side in (0, 1):
        assert sorted(row for pair in pairs for row in row_numbers(pair[side])) == list(range(60))


def test_damage_within_a_file_is_named_after_the_batches_before_it(tmp_path: Path) -> None:
    file = write_numbered(tmp_path, [4000], group=1000) / "part-000.parquet"
    column = pq.ParquetFile(file).metadata.row_group(2).column(0)
    data = bytearray(file.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    file.write_bytes(data)
    reader = numbered_reader(tmp_path, config=data_config(streams=1, window=100), shuffle=False)
    seen = []
    with pytest.raises(InputError, match=r"part-000\.parquet, row group 2: cannot be decoded") as caught:
        for batch in reader.epoch(0):
            seen += row_numbers(batch)
    assert "\n" not in str(caught.value)
    assert seen == list(range(len(seen)))
    assert 1000 <= len(seen) <= 2000


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    reader = numbered_reader(write_numbered(tmp_path, [40], group=10))
    (tmp_path / "part-000.parquet").unlink()
    with pytest.raises(InputError, match=r"part-000\.parquet, row group \d: cannot be decoded"):
        list(reader.epoch(0))


def test_sizes_that_don_t_fit_are_refused(tmp_path: Path) -> None:
    write_numbered(tmp_path, [40], group=10)
    with pytest.raises(InputError, match="4 streams cannot be shared out over 5 ranks"):
        numbered_reader(tmp_path, rank=0, world_size=5)
    with pytest.raises(InputError, match=r"batch_size 9 must be a multiple of data\.streams 4"):
        numbered_reader(tmp_path, batch_size=9)
    assert len(numbered_reader(tmp_path, batch_size=16)) == 3


def test_only_needed_columns_are_read(tmp_path: Path) -> None:
    """Other columns are damaged, and nothing notices."""
    table = numbered(500).append_column("other", pa.array([f"{i}" for i in range(500)]))
    pq.write_table(table, tmp_path / "x.parquet")
    column = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0).column(2)
    data = bytearray((tmp_path / "x.parquet").read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    (tmp_path / "x.parquet").write_bytes(data)
    assert sum(len(batch.weights) for batch in numbered_reader(tmp_path).epoch(0)) == 500


def test_memory_does_not_grow_with_the_files(tmp_path: Path) -> None:
    """Peaks of numpy's memory (traced) and of Arrow's (sampled) on one and on eight times as many rows.

    How many threads happen to work at the same time is worth up to a factor of two; keeping the rows would be one of eight.
    """
    peaks = []
    for files in (1, 8):
        write_numbered(tmp_path / str(files), [20_000] * files, group=5_000)
        reader = numbered_reader(tmp_path / str(files), config=data_config(streams=2, batch_size=200, window=2_000, prefetch=1))
        tracemalloc.start()
        arrow = max(pa.total_allocated_bytes() for _ in reader.epoch(0))
        peaks.append((tracemalloc.get_traced_memory()[1], arrow))
        tracemalloc.stop()
    assert peaks[1][0] < 2 * peaks[0][0]
    assert peaks[1][1] < 2 * peaks[0][1]


def test_real_logs_come_through_whole(real_data: Path) -> None:
    layout = features(
        {"kind": "id", "name": "user_id", "buckets": 30000},
        {"kind": "id", "name": "video_id", "buckets": 8000},
        {"kind": "number", "name": "duration_ms", "log1p": True},
    )
    heads = tasks(
        {"kind": "binary", "name": "ctr", "label": "is_click"}, {"kind": "binary", "name": "like", "label": "is_like", "space": "is_click"}
    )
    path = real_data / "kuairand_pure_0425_0508.parquet"
    config = DataConfig.model_validate({"train": "-", "valid": "-"})
    statistics = Statistics.model_validate({"numbers": {"duration_ms": {"count": 1, "mean": 10, "deviation": 1, "log1p": True}}})
    clicks = likes = rows = 0
    for batch in Reader([str(path)], config, layout, heads, statistics).epoch(0):
        rows += len(batch.weights)
        clicks += int(batch.labels[:, 0].sum())
        likes += int(batch.labels[:, 1].sum())
    table = pq.read_table(path, columns=["is_click", "is_like"]).to_pandas()
    assert (rows, clicks, likes) == (len(table), table.is_click.sum(), (table.is_click * table.is_like).sum())


def test_a_file_that_is_replaced_is_named(tmp_path: Path) -> None:
    """The new file has the same size, row groups and name, and was put there between the plan and the reading."""
    reader = numbered_reader(write_numbered(tmp_path, [40], group=10))
    size = (tmp_path / "part-000.parquet").stat().st_size
    table = numbered(40).set_column(1, "click", pa.array([1, 0] * 20))
    pq.write_table(table, tmp_path / "part-000.parquet", row_group_size=10)
    assert (tmp_path / "part-000.parquet").stat().st_size == size
    with pytest.raises(InputError, match=r"part-000\.parquet: was replaced while the job ran"):
        list(reader.epoch(0))


@settings(max_examples=15, deadline=None)
@given(shape=shapes, data=st.data())
def test_stopped_anywhere_and_resumed_on_1_2_4_and_1_ranks_every_row_comes_once(
    tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any], data: st.DataObject
) -> None:
    """Each stop is after any step, with the reader running ahead; what it had read ahead is not lost."""
    shape = shape | {"streams": 4, "shuffle": True}
    folder = write_numbered(tmp_path_factory.mktemp("log"), shape["files"], shape["group"])
    whole = [row for step in global_steps(folder, shape, 1, epoch=1) for row in step]
    steps, position = len(readers(folder, shape, 1)[0]), 0
    taken: list[int] = []
    stops = sorted(data.draw(st.lists(st.integers(0, steps), min_size=3, max_size=3)))
    for world_size, stop in zip((1, 2, 4, 1), [*stops, steps], strict=True):
        iterators = [reader.epoch(1, position) for reader in readers(folder, shape, world_size)]
        for _ in range(position, stop):
            taken += [row for iterator in iterators for row in row_numbers(next(iterator))]
        for iterator in iterators:
            iterator.close()
        position = stop
    assert taken == whole
    assert sorted(taken) == list(range(sum(shape["files"])))
