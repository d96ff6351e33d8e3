"""Every kind of damage is named in one line; a sound log passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from recsys.config import Config
from recsys.config_file import parse_config
from recsys.data.validation.quick import Validation, check_quickly
from recsys.data.validation.record import record
from recsys.data.validation.validate import check_rows
from recsys.errors import InputError

ROWS = 600


def rows_of(day: int, seed: int) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    click = draw.integers(0, 2, ROWS)
    start = 1_650_844_800_000 + day * 86_400_000  # 2022-04-25, in milliseconds
    return {
        "user_id": draw.integers(0, 50, ROWS),
        "item_id": draw.integers(0, 40, ROWS),
        "price": draw.random(ROWS),
        "tags": [draw.integers(0, 9, size).tolist() for size in draw.integers(0, 4, ROWS)],
        "time": start + np.sort(draw.integers(0, 86_400_000, ROWS)),
        "click": click,
        "conversion": click * draw.integers(0, 2, ROWS),
        "seconds": draw.exponential(10, ROWS),
    }


def job(folder: Path, **changes: dict[str, Any]) -> Config:
    """A configuration, and its three splits of a day each; `changes` replaces columns of a split by name."""
    for day, split in enumerate(("train", "valid", "test")):
        columns = rows_of(day, day) | changes.get(split, {})
        table = pa.table({name: values for name, values in columns.items() if values is not None})
        (folder / split).mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / split / "part.parquet", row_group_size=200)
    return parse_config(document(folder), "job.yaml")


def document(folder: Path) -> dict[str, Any]:
    return {
        "run": {"name": "job"},
        "data": {split: str(folder / split) for split in ("train", "valid", "test")} | {"time": "time"},
        "features": [
            {"name": "user_id", "kind": "id", "buckets": 64},
            {"name": "item_id", "kind": "id", "buckets": 40, "encoding": "identity"},
            {"name": "tags", "kind": "ids", "buckets": 16, "dimension": 4},
            {"name": "price", "kind": "number"},
        ],
        "tasks": [
            {"name": "ctr", "kind": "binary", "label": "click"},
            {"name": "cvr", "kind": "binary", "label": "conversion", "space": "click"},
            {"name": "dwell", "kind": "duration", "label": "seconds"},
        ],
        "model": {"architecture": "shared_bottom"},
    }


def validated(config: Config) -> Validation:
    validation = check_quickly(config)
    check_rows(validation)
    return validation


def test_a_sound_log_has_no_errors_and_its_figures_are_right(tmp_path: Path) -> None:
    config = job(tmp_path)
    validation = validated(config)
    assert (validation.found.errors, validation.found.warnings) == ([], [])
    train = rows_of(0, 0)
    figures = record(validation)
    rates = {(row["task"], row["day"]): row for row in figures["labels"]["train"]}
    assert rates["ctr", "all"]["rate"] == train["click"].mean()
    assert rates["cvr", "2022-04-25"]["rate"] == pytest.approx(train["conversion"].sum() / train["click"].sum())
    assert rates["dwell", "all"]["mean"] == pytest.approx(train["seconds"].mean())
    columns = {row["column"]: row for row in figures["columns"]}
    assert columns["user_id"]["distinct"] == len(np.unique(train["user_id"]))
    assert columns["tags"]["longest_list"] == 3
    assert columns["user_id"]["buckets"] == 64 and columns["item_id"]["buckets"] is None
    assert figures["splits"]["valid"]["from"].startswith("2022-04-26")


LATER = rows_of(0, 9)
ERRORS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "a missing column": ({"valid": {"price": None}}, "part.parquet: no column 'price' for the number feature 'price'"),
    "a wrong type": ({"train": {"price": ["cheap"] * ROWS}}, "column 'price' is string"),
    "a label that is null throughout": ({"train": {"click": pa.nulls(ROWS, pa.int8())}}, "column 'click': null in each of 600 rows"),
    "a label of 2": ({"test": {"conversion": np.full(ROWS, 2)}}, "row group 0, column 'conversion': values 2 to 2"),
    "negative seconds": ({"test": {"seconds": np.full(ROWS, -1.0)}}, "the label of task 'dwell' must be seconds of 0 or more"),
    "a task without positives": ({"train": {"click": np.zeros(ROWS, np.int8)}}, "column 'click': 0 in each row that has a label"),
    "a task without positives in its space": (
        {"train": {"conversion": 1 - rows_of(0, 0)["click"]}},
        "data.train, task 'cvr': all",
    ),
    "an id beyond its table": ({"valid": {"item_id": np.full(ROWS, 40)}}, "id 40 is outside 0 .. 39 of table 'item_id'"),
    "a negative id": ({"valid": {"item_id": np.full(ROWS, -3)}}, "id -3 is outside"),
    "not a number": ({"test": {"price": np.full(ROWS, np.nan)}}, "column 'price': NaN or infinity"),
    "a feature that equals a label": (
        {"train": {"price": rows_of(0, 0)["click"].astype(float)}},
        "column 'price' equals the label 'click' in each",
    ),
    "a split in another": ({"test": rows_of(0, 0)}, "600 different rows of data.test stand in data.train too, time included"),
    "no rows": (
        {"valid": {name: pa.array(list(values)[:0], pa.array(values).type) for name, values in LATER.items()}},
        "valid: no rows in 1 parquet file(s)",
    ),
}


@pytest.mark.parametrize("what", ERRORS)
def test_what_can_not_be_trained_on_is_an_error(tmp_path: Path, what: str) -> None:
    changes, message = ERRORS[what]
    errors = validated(job(tmp_path, **changes)).found.errors
    assert any(message in error for error in errors), errors
    assert all("\n" not in error for error in errors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"valid": {"time": rows_of(0, 0)["time"] + 1}}, "h before data.train ends at 2022-04-25"),
        ({"train": {"conversion": np.ones(ROWS, np.int8)}}, "rows have 'conversion' without 'click'"),
        (
            {"train": {"price": rows_of(0, 0)["click"] + 0.01 * rows_of(0, 0)["price"]}},
            "column 'price' alone orders the label 'click' with AUC 1.000",
        ),
        (
            {"train": {name: [*list(values)[: ROWS - 100], *list(values)[:100]] for name, values in rows_of(0, 0).items()}},
            "data.train: 100 rows repeat",
        ),
    ],
)
def test_what_a_person_should_look_at_is_a_warning(tmp_path: Path, changes: dict[str, dict[str, Any]], message: str) -> None:
    found = validated(job(tmp_path, **changes)).found
    assert any(message in warning for warning in found.warnings), found.warnings


def test_one_kind_of_problem_is_told_once(tmp_path: Path) -> None:
    errors = validated(job(tmp_path, train={"item_id": np.arange(100, 100 + ROWS)})).found.errors
    assert len(errors) == 1
    assert "row group 0" in errors[0] and "the same in 2 more batches of rows" in errors[0]


def test_damaged_files_are_named_and_the_others_still_looked_at(tmp_path: Path) -> None:
    config = job(tmp_path)
    whole = (tmp_path / "train" / "part.parquet").read_bytes()
    (tmp_path / "train" / "short.parquet").write_bytes(whole[: len(whole) // 2])
    pages = bytearray(whole)
    pages[4:2000] = bytes(1996)
    (tmp_path / "train" / "torn.parquet").write_bytes(bytes(pages))
    validation = validated(config)
    assert any("short.parquet: not a whole parquet file" in error for error in validation.found.errors)
    assert any("torn.parquet, row group 0: cannot be decoded" in error for error in validation.found.errors)
    assert validation.scans["train"].rows >= ROWS


def test_footers_alone_find_labels_out_of_range_before_anything_starts(tmp_path: Path) -> None:
    validation = check_quickly(job(tmp_path, train={"click": np.full(ROWS, 3)}))
    assert len(validation.found.errors) == 1 and "values 3 to 3" in validation.found.errors[0]
    assert not validation.scans


def test_a_label_among_the_features_and_a_shared_file_are_refused(tmp_path: Path) -> None:
    job(tmp_path)
    content = document(tmp_path)
    content["features"].append({"name": "click", "kind": "id", "buckets": 4, "dimension": 4})
    content["data"]["test"] = content["data"]["valid"]
    errors = check_quickly(parse_config(content, "job.yaml")).found.errors
    assert any("'click', which is a label (task 'ctr')" in error for error in errors)
    assert any("data.valid and data.test share 1 file(s)" in error for error in errors)


def test_ids_that_are_text_in_one_split_alone_are_refused(tmp_path: Path) -> None:
    """Within a split the reader refuses it; across two, nothing else would."""
    ids = [str(number) for number in rows_of(1, 1)["user_id"]]
    (error,) = check_quickly(job(tmp_path, valid={"user_id": ids})).found.errors
    assert str(tmp_path / "valid" / "part.parquet") in error
    assert "column 'user_id' holds strings in data.valid, but integers in data.t" in error


@pytest.mark.parametrize(
    ("days", "told"),
    [
        (("2022-05-01", "2022-05-02", "2022-05-03"), []),
        (("2022-05-02", "2022-05-02", "2022-05-03"), ["data.valid begins at 2022-05-02 00:00:00, 24.0 h before data.train ends"]),
        (("2022-05-03", "2022-05-01", "2022-05-04"), ["data.valid begins at 2022-05-01 00:00:00, 72.0 h before data.train ends"]),
        (("2022-05-03", "", "2022-05-01"), ["data.test begins at 2022-05-01 00:00:00, 72.0 h before data.train ends"]),
    ],
)
def test_without_a_time_column_the_days_of_partitions_tell_the_order(tmp_path: Path, days: tuple[str, ...], told: list[str]) -> None:
    job(tmp_path)
    content = document(tmp_path)
    del content["data"]["time"]
    for split, day in zip(("train", "valid", "test"), days, strict=True):
        if day:
            (tmp_path / split / f"date={day}").mkdir()
            (tmp_path / split / "part.parquet").rename(tmp_path / split / f"date={day}" / "part.parquet")
    warnings = check_quickly(parse_config(content, "job.yaml")).found.warnings
    assert len(warnings) == len(told) and all(warning.startswith(words) for warning, words in zip(warnings, told, strict=True)), warnings


def test_the_command_prints_its_page_and_ends_with_two_on_errors(tmp_path: Path) -> None:
    job(tmp_path, test={"item_id": np.full(ROWS, 77)})
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(document(tmp_path)))
    told = CliRunner().invoke(app, ["validate", str(tmp_path / "job.yaml"), "--json", str(tmp_path / "found.json")])
    assert isinstance(told.exception, InputError) and "id 77 is outside" in str(told.exception)
    for heading in ("splits", "labels", "rates by day", "columns of the training split"):
        assert heading in told.stdout
    assert "id 77" in (tmp_path / "found.json").read_text()


def test_the_repeats_of_the_real_log_are_found(real_data: Path, tmp_path: Path) -> None:
    """Its publishers marked 5,460 rows as exact repeats (dup = 1); the split is made without looking at that."""
    table = pq.read_table(real_data / "kuairand_pure_0425_0508.parquet")
    for split in ("train", "valid", "test"):
        (tmp_path / split).mkdir()
        pq.write_table(table.filter(pc.equal(table["split"], split)), tmp_path / split / "part.parquet")
    content = document(tmp_path)
    content["data"]["time"] = "time_ms"
    own = {"is_click", "play_time_ms", "time_ms", "split", "dup"}
    content["features"] = [{"name": name, "kind": "id", "buckets": 4096, "dimension": 4} for name in table.column_names if name not in own]
    content["tasks"] = [
        {"name": "ctr", "kind": "binary", "label": "is_click"},
        {"name": "dwell", "kind": "duration", "label": "play_time_ms"},
    ]
    validation = validated(parse_config(content, "job.yaml"))
    assert sum(part.hashes.repeats() for part in validation.scans.values()) == 5_460
