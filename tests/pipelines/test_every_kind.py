"""A job with a feature of every kind: it trains, and a fresh process makes the same numbers from the run's folder alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml

from recsys.config_file import load_config
from recsys.data.layout import layout
from recsys.data.reader import Reader
from recsys.data.statistics import fit_statistics

ROWS = 1000
FEATURES: list[dict[str, Any]] = [
    {"name": "user", "kind": "id", "buckets": 50, "dimension": 8},
    {"name": "item", "kind": "id", "buckets": 40, "dimension": 8, "encoding": "identity", "offset": 100, "default": 100},
    {"name": "town", "kind": "id", "buckets": 8, "dimension": 4, "encoding": "vocabulary", "vocabulary": "towns.txt"},
    {"name": "towns", "kind": "ids", "table": "town", "weights": "town_shares", "default": "Ulm"},
    {"name": "past", "kind": "sequence", "max_length": 4, "items": [{"column": "items", "table": "item", "target": "item"}]},
    {"name": "price", "kind": "number", "log1p": True, "missing": True, "clip": 3},
    {"name": "price_range", "column": "price", "kind": "bucket", "quantiles": 5, "dimension": 4},
    {"name": "last_price_range", "column": "last_price", "kind": "bucket", "table": "price_range"},
    {"name": "age_range", "column": "age", "kind": "bucket", "boundaries": [18, 30, 65], "dimension": 4, "default": 40},
    {"name": "town_by_age", "kind": "cross", "columns": ["town", "age"], "buckets": 64, "dimension": 4},
    {"name": "content", "kind": "vector", "size": 3, "default": 0.5},
]
FRESH = """
import sys, pathlib, torch, pyarrow.parquet as pq
from recsys.data.columns import to_batch
from recsys.data.transforms import load_transforms
transforms = load_transforms(pathlib.Path(sys.argv[1]), labels=False)
table = pq.read_table(sys.argv[2], columns=transforms.columns)
batch = to_batch([transforms(rows, "request") for rows in table.to_batches(max_chunksize=77)], transforms.layout)
parts = {name: (part.keys(), part.values(), part.lengths(), part.weights_or_none())
         for name in ("sparse", "weighted", "sequence") if (part := getattr(batch, name))}
torch.save(parts | {"dense": batch.dense}, sys.argv[3])
"""


def some(random: np.random.Generator, values: list[Any]) -> list[Any]:
    """The values, a fifth of them null."""
    return [None if random.random() < 0.2 else value for value in values]


def log(seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    names = np.array(["Ulm", "Köln", "Bonn", "Rom"])
    lists = [random.integers(0, 4, random.integers(0, 4)) for _ in range(ROWS)]
    there = some(random, [True] * ROWS)
    return pa.table(
        {
            "user": some(random, random.integers(-9, 9, ROWS).tolist()),
            "item": some(random, random.integers(100, 140, ROWS).tolist()),
            "town": some(random, names[random.integers(0, 4, ROWS)].tolist()),
            "towns": [names[own].tolist() if known else None for own, known in zip(lists, there, strict=True)],
            "town_shares": [random.random(len(own)).tolist() if known else None for own, known in zip(lists, there, strict=True)],
            "items": some(random, [random.integers(100, 140, random.integers(0, 7)).tolist() for _ in range(ROWS)]),
            "price": some(random, random.exponential(50, ROWS).tolist()),
            "last_price": some(random, random.exponential(50, ROWS).tolist()),
            "age": pa.array(some(random, random.integers(10, 90, ROWS).tolist()), pa.int8()),
            "content": pa.array(some(random, random.normal(size=(ROWS, 3)).tolist()), pa.list_(pa.float32())),
            "click": random.integers(0, 2, ROWS),
        }
    )


def recsys(*arguments: str) -> str:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_training_and_a_fresh_process_make_the_same_numbers(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid", "test")):
        pq.write_table(log(seed), tmp_path / f"{split}.parquet", row_group_size=300)
    towns = tmp_path / "towns.txt"
    towns.write_text("Köln\nUlm\nBonn\n")
    document = {
        "run": {"name": "kinds", "output": str(tmp_path / "run")},
        "data": {split: str(tmp_path / f"{split}.parquet") for split in ("train", "valid", "test")} | {"batch_size": 96},
        "features": [feature | ({"vocabulary": str(towns)} if "vocabulary" in feature else {}) for feature in FEATURES],
        "tasks": [{"name": "ctr", "kind": "binary", "label": "click"}],
        "model": {"architecture": "shared_bottom", "bottom_layers": [8], "tower_layers": []},
        "mto": {"strategy": "equal"},
        "tracking": {"enabled": False},
    }
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(document))
    recsys("train", str(job), "--nproc", "2", "--set", "train.steps=4")

    config = load_config(job)
    own = layout(config.features)
    statistics = fit_statistics(config.data.train, own.features)
    reader = Reader(config.data.test, config.data, own, config.tasks, statistics, batch_size=ROWS, shuffle=False)
    (expected,) = reader.epoch(0)

    for gone in (towns, tmp_path / "train.parquet", job):
        gone.unlink()
    arguments = [str(tmp_path / "run"), str(tmp_path / "test.parquet"), str(tmp_path / "batch.pt")]
    subprocess.run([sys.executable, "-c", FRESH, *arguments], check=True, timeout=100)
    got = torch.load(tmp_path / "batch.pt")
    assert torch.equal(got["dense"], expected.dense)
    assert got["dense"].shape == (ROWS, 2 + 3)
    for name in ("sparse", "weighted", "sequence"):
        keys, values, lengths, weights = got[name]
        part = getattr(expected, name)
        assert keys == part.keys()
        assert torch.equal(values, part.values())
        assert torch.equal(lengths, part.lengths())
        assert (weights is None) == (name != "weighted")
        assert weights is None or torch.equal(weights, part.weights())
