"""The census log holds the file's rows, split by split."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from recsys.data.census import FILE_NAME, prepare
from recsys.data.schema import Schema
from recsys.errors import InputError


def test_every_row_is_in_the_log(real_data: Path, tmp_path: Path) -> None:
    schema = prepare(real_data, tmp_path / "log")
    source = pq.read_table(real_data / FILE_NAME)
    assert [schema.splits[name].rows for name in ("train", "valid", "test")] == [199_523, 49_881, 49_881]
    for split in schema.splits:
        rows = pq.read_table(tmp_path / "log" / f"split={split}", partitioning=None)
        expected = source.filter(pc.equal(source["split"], split)).drop_columns("split")
        assert rows == expected.cast(rows.schema)
        assert not [field for field in rows.schema if pa.types.is_dictionary(field.type) or pa.types.is_large_string(field.type)]
    assert schema.splits["train"].rates == pytest.approx(
        {"label_income": 0.062, "label_never_married": 0.433, "label_college": 0.336}, abs=5e-4
    )
    assert Schema.load(tmp_path / "log") == schema
    assert [column.name for column in schema.columns] == [name for name in source.column_names if name != "split"]
    assert len(schema.of_kind("number")) == 7


def test_the_file_itself_can_be_named(real_data: Path, tmp_path: Path) -> None:
    table = pq.read_table(real_data / FILE_NAME).slice(0, 100)
    pq.write_table(table, tmp_path / "some.parquet")
    assert sum(split.rows for split in prepare(tmp_path / "some.parquet", tmp_path / "log").splits.values()) == 100


def test_other_files_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("age,sex")
    pq.write_table(pa.table({"age": [1]}), tmp_path / "other.parquet")
    for name, what in (("text.parquet", "is not a parquet file"), ("other.parquet", "has no column"), ("none.parquet", "not found")):
        with pytest.raises(InputError, match=what) as error:
            prepare(tmp_path / name, tmp_path / "log")
        assert name in str(error.value)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "log").exists()
