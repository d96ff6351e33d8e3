"""The log writer: what is written can be read back, and nothing half-written is ever seen."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data import writer
from recsys.data.schema import Column, Schema, columns_of
from recsys.data.writer import LogWriter
from recsys.errors import InputError

SCHEMA = Schema(
    name="small",
    description="a small log",
    source="this test",
    licence="none",
    columns=[
        Column(name="row", type="int64", kind="id", description="number of the row"),
        Column(name="click", type="int8", kind="label", description="1 if clicked"),
    ],
)


def rows(first: int, number: int) -> pa.Table:
    place = np.arange(first, first + number)
    return pa.table({"row": place, "click": pa.array(place % 4 == 0, pa.int8(), mask=place % 5 == 1)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(output: Path, *parts: tuple[int, int, str, str | None]) -> Schema:
    with LogWriter(output, SCHEMA) as log:
        for first, number, split, date in parts:
            log.write(rows(first, number), split, date)
    return log.schema


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["train", "test"]), st.integers(1, 3)), min_size=1, max_size=30),
    file_groups=st.integers(1, 3),
)
def test_every_partition_holds_its_rows_in_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[int, str, int]], file_groups: int
) -> None:
    output, expected, first = tmp_path_factory.mktemp("log") / "log", {}, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "ROW_GROUP", 16)
        patch.setattr(writer, "FILE_ROWS", 16 * file_groups)
        with LogWriter(output, SCHEMA) as log:
            for number, split, day in parts:
                log.write(rows(first, number), split, f"2024-01-0{day}")
                expected.setdefault((split, day), []).extend(range(first, first + number))
                first += number
    for (split, day), places in expected.items():
        files = sorted((output / f"split={split}" / f"date=2024-01-0{day}").glob("part-*.parquet"))
        metadata = [pq.ParquetFile(file).metadata for file in files]
        assert all(part.row_group(group).num_rows <= 16 for part in metadata for group in range(part.num_row_groups))
        assert all(part.num_rows <= 16 * file_groups for part in metadata)
        assert [row for file in files for row in pq.ParquetFile(file).read()["row"].to_pylist()] == places
    for split in {split for split, _ in expected}:
        places = np.concatenate([expected[key] for key in expected if key[0] == split])
        known = places[places % 5 != 1]
        assert log.schema.splits[split].rows == len(places) if len(places) else split not in log.schema.splits
        if len(known):
            assert log.schema.splits[split].rates["click"] == pytest.approx(np.mean(known % 4 == 0))


def test_files_are_zstd_and_partitions_are_hive(tmp_path: Path) -> None:
    write(tmp_path / "log", (0, 100_000, "train", "2024-01-01"), (0, 10, "valid", None))
    file = pq.ParquetFile(tmp_path / "log" / "split=train" / "date=2024-01-01" / "part-00000.parquet")
    assert [file.metadata.row_group(group).num_rows for group in range(2)] == [65_536, 34_464]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert (tmp_path / "log" / "split=valid" / "part-00000.parquet").exists()
    assert ds.dataset(tmp_path / "log", partitioning="hive").to_table().column_names == ["row", "click", "split", "date"]


def test_the_description_is_read_back(tmp_path: Path) -> None:
    schema = write(tmp_path / "log", (0, 7, "train", None))
    assert Schema.load(tmp_path / "log") == schema
    assert schema.of_kind("label") == ["click"]
    assert columns_of(rows(0, 1).schema, {"row": ("id", "number of the row"), "click": ("label", "1 if clicked")}) == SCHEMA.columns


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (None, "not found"),
        ("name: [", "not a description"),
        ("- 1", "not a description"),
        ("nom: log", "Field required"),
        ("", "description"),
    ],
)
def test_a_bad_description_is_refused_in_one_line(tmp_path: Path, text: str | None, what: str) -> None:
    if text is not None:
        (tmp_path / "_schema.yaml").write_text(text)
    with pytest.raises(InputError, match=what) as error:
        Schema.load(tmp_path)
    assert "_schema.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_an_earlier_log_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "log", (0, 5, "train", "2024-01-01"), (5, 5, "test", "2024-01-02"))
    write(tmp_path / "log", (0, 3, "train", "2024-01-03"))
    assert [path.parent.name for path in (tmp_path / "log").rglob("*.parquet")] == ["date=2024-01-03"]
    assert names(tmp_path) == ["log"]


def test_an_error_leaves_the_earlier_log_as_it_was(tmp_path: Path) -> None:
    before = write(tmp_path / "log", (0, 5, "train", None))
    with pytest.raises(KeyboardInterrupt), LogWriter(tmp_path / "log", SCHEMA) as log:
        log.write(rows(0, 100_000), "test")
        raise KeyboardInterrupt
    assert Schema.load(tmp_path / "log") == before
    assert names(tmp_path) == ["log"]


@pytest.mark.parametrize("files", [["notes.txt"], ["_schema.yaml", "notes.txt"], ["split=train"]])
def test_a_folder_that_is_no_log_is_left_alone(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_text("precious")
    with pytest.raises(InputError, match="not a log that could be replaced"):
        write(tmp_path, (0, 5, "train", None))
    assert names(tmp_path) == sorted(files)


def test_a_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("precious")
    with pytest.raises(InputError, match="is a file"):
        write(tmp_path / "log", (0, 5, "train", None))


ENDLESS = """
import sys
from pathlib import Path
import pyarrow as pa
from recsys.data.schema import Schema
from recsys.data.writer import LogWriter
with LogWriter(Path(sys.argv[1]), Schema(name="", description="", source="", licence="", columns=[])) as log:
    while True:
        log.write(pa.table({"row": range(100_000)}), "train")
        print("written", flush=True)
"""


def test_a_killed_run_leaves_no_log_and_the_next_one_works(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(tmp_path / "log")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "log").exists()
    assert write(tmp_path / "log", (0, 5, "train", None)).splits["train"].rows == 5
    assert names(tmp_path) == ["log"]


def test_a_kill_between_the_two_renames_is_mended(tmp_path: Path) -> None:
    before = write(tmp_path / "log", (0, 5, "train", None))
    (tmp_path / "log").rename(tmp_path / ".log.replaced")
    with pytest.raises(RuntimeError), LogWriter(tmp_path / "log", SCHEMA):
        raise RuntimeError
    assert Schema.load(tmp_path / "log") == before


def test_a_flipped_bit_in_a_page_is_noticed(tmp_path: Path) -> None:
    """Also one that would decode to another value in silence."""
    write(tmp_path / "log", (0, 400, "train", None))
    (file,) = (tmp_path / "log").rglob("*.parquet")
    chunk, whole = pq.ParquetFile(file).metadata.row_group(0).column(0), file.read_bytes()
    end = chunk.dictionary_page_offset + chunk.total_compressed_size
    for position in range(end - 40, end):
        file.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(OSError, match="CRC checksum"):
            pq.ParquetFile(file, page_checksum_verification=True).read()


def test_a_log_is_not_written_to_a_store() -> None:
    with pytest.raises(InputError, match=r"^s3://\.\.\.: a log is written to a local folder"):
        write(Path("s3://bucket/log"), (0, 1, "train", None))
