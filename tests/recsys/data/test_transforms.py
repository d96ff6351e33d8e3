"""Transforms against a slow oracle that goes row by row, through files and the Reader."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import data_config, features, read_one, tasks
from test_hashing import hash_bytes, step

from recsys.data.reader import Reader
from recsys.data.statistics import Statistics
from recsys.data.transforms import Transforms
from recsys.errors import InputError

LAYOUT = features(
    {"kind": "id", "name": "user", "buckets": 50},
    {"kind": "id", "name": "item", "buckets": 9, "encoding": "identity"},
    {"kind": "number", "name": "age", "log1p": True},
    {"kind": "ids", "name": "tags", "buckets": 30, "max_length": 2},
    {
        "kind": "sequence",
        "name": "history",
        "max_length": 3,
        "items": [{"column": "items", "table": "item", "target": "item"}, {"column": "actions", "buckets": 20}],
    },
    {"kind": "number", "name": "raw", "standardise": False},
)
TASKS = tasks(
    {"kind": "binary", "name": "ctr", "label": "click"},
    {"kind": "binary", "name": "cvr", "label": "buy", "space": "click"},
    {"kind": "duration", "name": "dwell", "label": "seconds"},
)
SCHEMA = pa.schema(
    {
        "user": pa.string(),
        "item": pa.uint8(),
        "age": pa.float32(),
        "tags": pa.large_list(pa.int16()),
        "items": pa.list_(pa.int64()),
        "actions": pa.list_(pa.large_string()),
        "raw": pa.int32(),
        "click": pa.bool_(),
        "buy": pa.float64(),
        "seconds": pa.float32(),
        "importance": pa.float64(),
        "unused": pa.string(),
    }
)

texts = st.one_of(st.none(), st.text(max_size=10))
histories = st.one_of(st.none(), st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 8)), texts), max_size=6))
log_rows = st.fixed_dictionaries(
    {
        "user": texts,
        "item": st.one_of(st.none(), st.integers(0, 8)),
        "age": st.one_of(st.none(), st.floats(0, 100, width=32)),
        "tags": st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=5)),
        "history": histories,
        "raw": st.one_of(st.none(), st.integers(-100, 100)),
        "click": st.one_of(st.none(), st.booleans()),
        "buy": st.one_of(st.none(), st.sampled_from([0.0, 1.0])),
        "seconds": st.one_of(st.none(), st.floats(0, 1e4, width=32)),
        "importance": st.floats(0, 10, width=32),
    }
)


def to_table(rows: list[dict[str, Any]]) -> pa.Table:
    flat = []
    for row in rows:
        history = row["history"]
        items = None if history is None else [item for item, _ in history]
        actions = None if history is None else [action for _, action in history]
        flat.append({**row, "items": items, "actions": actions, "unused": "x"})
    return pa.Table.from_pylist(flat, SCHEMA)


def hashed(value: int | str | None, buckets: int) -> int:
    if value is None:
        return 0
    return 1 + (hash_bytes(value.encode()) if isinstance(value, str) else step(value & (2**64 - 1))) % buckets


def oracle(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the batch must hold, row by row."""
    ages = [math.log1p(row["age"]) for row in rows if row["age"] is not None]
    raws = [row["raw"] for row in rows if row["raw"] is not None]
    mean, deviation = (np.mean(ages), np.std(ages) or 1.0) if ages else (0.0, 1.0)
    blank = np.mean(raws) if raws else 0.0
    last = [(row["history"] or [])[-3:] for row in rows]
    return {
        "user": [[hashed(row["user"], 50)] for row in rows],
        "tags": [[hashed(tag, 30) for tag in (row["tags"] or [])[-2:]] for row in rows],
        "item": [[0 if row["item"] is None else row["item"] + 1] for row in rows],
        "history.items": [[0 if item is None else item + 1 for item, _ in history] for history in last],
        "history.actions": [[hashed(action, 20) for _, action in history] for history in last],
        "dense": [
            [0.0 if row["age"] is None else (math.log1p(row["age"]) - mean) / deviation, blank if row["raw"] is None else row["raw"]]
            for row in rows
        ],
        "masks": [[row["click"] is not None, row["buy"] is not None and row["click"] is True, row["seconds"] is not None] for row in rows],
        "labels": [[float(row["click"] or 0), (row["buy"] or 0.0) if row["click"] else 0.0, row["seconds"] or 0.0] for row in rows],
        "weights": [row["importance"] for row in rows],
    }


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(log_rows, min_size=1, max_size=12), group=st.integers(1, 13))
def test_a_batch_is_what_the_oracle_says(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], group: int) -> None:
    batch = read_one(tmp_path_factory.mktemp("log") / "x.parquet", to_table(rows), LAYOUT, TASKS, weight="importance", group=group)
    expected = oracle(rows)
    assert batch.sparse is not None
    assert batch.sequence is not None
    assert (batch.sparse.keys(), batch.sequence.keys()) == (["user", "tags"], ["item", "history.items", "history.actions"])
    for part in (batch.sparse, batch.sequence):
        assert (part.values().dtype, part.lengths().dtype) == (torch.int64, torch.int32)
        for key, ids in part.to_dict().items():
            assert [row.tolist() for row in ids.to_dense()] == expected[key]
    np.testing.assert_allclose(batch.dense.numpy(), np.array(expected["dense"], np.float32), rtol=2e-5, atol=2e-5)
    assert batch.masks.tolist() == expected["masks"]
    assert batch.labels.tolist() == expected["labels"]
    assert batch.weights.tolist() == expected["weights"]


def test_the_counts_by_key_are_right(tmp_path: Path) -> None:
    """They are handed over ready, so nothing would notice a wrong one but a sharded lookup."""
    rows: list[dict[str, Any]] = [{"tags": [1, 2], "history": [(1, "a")]}, {"tags": None, "history": [(1, "a"), (2, "b")]}]
    batch = read_one(tmp_path / "x.parquet", to_table([{**row, "importance": 1} for row in rows]), LAYOUT, TASKS)
    for part in (batch.sparse, batch.sequence):
        assert part is not None
        totals = part.lengths().view(len(part.keys()), -1).sum(1).tolist()
        assert (part.length_per_key(), part.offset_per_key()) == (totals, [0, *np.cumsum(totals).tolist()])


@pytest.mark.parametrize("form", ["dictionary", "large", "binary"])
def test_forms_of_a_column_don_t_matter(tmp_path: Path, form: str) -> None:
    layout = features({"kind": "id", "name": "user", "buckets": 50}, {"kind": "ids", "name": "tags", "buckets": 50, "max_length": 1})
    users, tags = pa.array(["a", None, "b"]), pa.array([["a", "b"], None, [None, "c"]])
    forms = {
        "dictionary": (users.dictionary_encode(), pa.array(tags.to_pylist(), pa.list_(pa.dictionary(pa.int8(), pa.string())))),
        "large": (users.cast(pa.large_string()), tags.cast(pa.large_list(pa.large_string()))),
        "binary": (users.cast(pa.binary()), tags.cast(pa.list_(pa.binary()))),
    }
    heads = tasks({"kind": "binary", "name": "ctr", "label": "click"})
    click = pa.array([0, 1, None]).dictionary_encode() if form == "dictionary" else [0, 1, None]
    batch = read_one(tmp_path / "x.parquet", pa.table({"user": forms[form][0], "tags": forms[form][1], "click": click}), layout, heads)
    assert batch.sparse is not None
    ids = {key: [row.tolist() for row in value.to_dense()] for key, value in batch.sparse.to_dict().items()}
    assert ids["user"] == [[hashed("a", 50)], [0], [hashed("b", 50)]]
    assert ids["tags"] == [[hashed("b", 50)], [], [hashed("c", 50)]]
    assert (batch.labels[:, 0].tolist(), batch.masks[:, 0].tolist()) == ([0, 1, 0], [True, True, False])


def test_lists_of_a_fixed_size(tmp_path: Path) -> None:
    layout = features({"kind": "ids", "name": "tags", "buckets": 50, "encoding": "identity", "max_length": 2})
    table = pa.table({"tags": pa.array([[1, 2, 3], [4, None, 6]], pa.list_(pa.int64(), 3)), "click": [0, 1]})
    batch = read_one(tmp_path / "x.parquet", table, layout, tasks({"kind": "binary", "name": "ctr", "label": "click"}))
    assert batch.sparse is not None
    assert [row.tolist() for row in batch.sparse["tags"].to_dense()] == [[3, 4], [0, 7]]


def test_a_layout_without_ids_or_numbers_has_empty_parts(tmp_path: Path) -> None:
    heads = tasks({"kind": "binary", "name": "ctr", "label": "click"})
    table = pa.table({"age": [1.0, 3.0], "user": [1, 2], "click": [0, 1]})
    numbers = read_one(tmp_path / "x.parquet", table, features({"kind": "number", "name": "age"}), heads)
    assert (numbers.sparse, numbers.sequence, numbers.dense.tolist()) == (None, None, [[-1.0], [1.0]])
    ids = read_one(tmp_path / "x.parquet", table, features({"kind": "id", "name": "user", "buckets": 5}), heads)
    assert ids.dense.shape == (2, 0)


def test_numbers_whose_sum_is_infinite_are_finite_all_the_same(tmp_path: Path) -> None:
    table = pa.table({"age": [1e308, 1e308, -1e308, 5e307], "click": [0, 1, 0, 1]})
    raw = features({"kind": "number", "name": "age", "standardise": False, "clip": 4.0, "default": 0.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = read_one(tmp_path / "x.parquet", table, raw, tasks({"kind": "binary", "name": "ctr", "label": "click"}))
    assert batch.dense.tolist() == [[4.0], [4.0], [-4.0], [4.0]]


def test_a_number_may_hide_its_nulls_in_a_dictionary(tmp_path: Path) -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0, None], pa.int8()), pa.array([3.0, None]))
    own = features({"kind": "number", "name": "age", "standardise": False, "default": -1.0, "missing": True})
    transforms = Transforms(own, [], None, Statistics(features={}))
    rows = transforms(pa.record_batch({"age": column}), "request")
    assert rows.dense.tolist() == [[3.0, 0.0], [-1.0, 1.0], [3.0, 0.0], [-1.0, 1.0]]


def test_batches_are_made_without_pandas(tmp_path: Path) -> None:
    """Its import takes a good part of a second of every process."""
    table = pa.table({"age": [1.0, None], "item": [1, None], "name": ["a", "b"], "tags": [[1], None], "click": [0, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    code = f"""
import sys
from reading import data_config, features, tasks
from recsys.data.reader import Reader
from recsys.data.statistics import fit_statistics

own = features(
    {{"kind": "number", "name": "age", "missing": True}},
    {{"kind": "id", "name": "item", "buckets": 5, "encoding": "identity"}},
    {{"kind": "id", "name": "name", "buckets": 5}},
    {{"kind": "ids", "name": "tags", "buckets": 5}},
)
statistics = fit_statistics([{str(tmp_path)!r}], own.features)
reader = Reader([{str(tmp_path)!r}], data_config(), own, tasks({{"kind": "binary", "name": "ctr", "label": "click"}}), statistics)
assert len(list(reader.epoch(0))) == 1
sys.exit("pandas" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    assert ran.returncode == 0


GOOD = {
    "user": "a",
    "item": 1,
    "age": 1.0,
    "tags": [1],
    "history": [(1, "a")],
    "raw": 1,
    "click": True,
    "buy": 1.0,
    "seconds": 1.0,
    "importance": 1.0,
}


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("item", 9, "id 9 is outside 0 .. 8 of table 'item'"),
        ("buy", 0.5, "value 0.5, but the label of task 'cvr' must be 0, 1 or null"),
        ("buy", math.nan, "value nan"),
        ("seconds", -1.0, "value -1, but the label of task 'dwell' must be seconds of 0 or more"),
        ("seconds", math.nan, "value nan"),
        ("seconds", math.inf, "value inf"),
        ("importance", -1.0, "value -1, but data.weight"),
        ("importance", None, "value nan, but data.weight"),
        ("importance", math.nan, "value nan, but data.weight"),
        ("age", -2.0, "-2 is below 0; set `log1p: false`"),
        ("age", math.nan, "NaN or infinity"),
        ("items", [1, 11], "id 11 is outside"),
        ("items", [1] * 5, "lists of 5 and 4 elements"),
    ],
)
def test_bad_values_are_named_in_one_line(tmp_path: Path, column: str, value: object, words: str) -> None:
    """The bad value is the last of three row groups; the statistics come from elsewhere."""
    good = {**GOOD, "history": [(1, "a")] * (4 if value == [1] * 5 else 2)}
    table = to_table([good] * 5)
    position = table.schema.get_field_index(column)
    values = pa.array([*table.column(column).to_pylist()[:-1], value], table.schema.field(column).type)
    pq.write_table(table.set_column(position, table.schema.field(column), values), tmp_path / "x.parquet", row_group_size=2)
    moments = {"count": 1, "mean": 0, "deviation": 1}
    statistics = Statistics.model_validate({"features": {"age": {**moments, "log1p": True}, "raw": {**moments, "log1p": False}}})
    reader = Reader([str(tmp_path)], data_config(weight="importance"), LAYOUT, TASKS, statistics)
    with pytest.raises(InputError) as caught:
        list(reader.epoch(0))
    assert "x.parquet, row group 2" in str(caught.value)
    assert repr(column) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
