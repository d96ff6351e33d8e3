"""Managed ids over processes: each rank gives out its own rows, and one process goes on with what two have learned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from job_cases import write_job
from rich.console import Console

from recsys.config_file import load_config
from recsys.data.features.encoding import MANAGED_IDS
from recsys.data.synthetic import Spec, generate
from recsys.distributed import process_group
from recsys.training.assembly import build_trainer

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]
CHANGES = {"encoding": "managed", "eviction": "lru", "eviction_every": 1000, "buckets": 61}
SETTINGS = [f"features.user_id.{key}={value}" for key, value in CHANGES.items()]


def train(path: Path, *options: str) -> tuple[int, str]:
    settings = [f"--set={setting}" for setting in SETTINGS]
    ended = subprocess.run(
        [*RECSYS, "train", str(path), *settings, *options],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    return ended.returncode, ended.stderr


def books(path: Path, output: Path) -> tuple[dict[int, int], torch.Tensor]:
    """id -> row of the latest checkpoint, and the optimizer state of each row."""
    config = load_config(path, [f"run.output={output}", *SETTINGS])
    with process_group() as world:
        trainer = build_trainer(config, world, output, Console(quiet=True), resume=False)
        trainer.resume()
        managed = trainer.parts.model.module.embeddings.managed
        rows = managed._managed_collision_collection._managed_collision_modules["user_id"]
        pairs = zip(rows._mch_sorted_raw_ids.tolist(), rows._mch_remapped_ids_mapping.tolist(), strict=True)
        state = managed._table_to_tbe_and_index["user_id"][0].split_optimizer_states()[0][0].clone()
        return {id: row for id, row in pairs if id <= MANAGED_IDS}, state


@pytest.mark.slow
def test_two_processes_give_out_rows_and_one_goes_on(tmp_path: Path) -> None:
    log, run = tmp_path / "log", tmp_path / "run"
    generate(Spec(rows=8_000, users=400, items=200, days=10, seed=5), log)
    path = write_job(log, tmp_path, train={"steps": 5}, evaluate={"every": 1000})
    assert train(path, "--nproc", "2") == (0, "")
    shutil.copytree(run, tmp_path / "first")
    assert train(path, "--nproc", "2", "--resume", "--set=train.steps=10") == (0, "")
    (first, _), (second, state) = books(path, tmp_path / "first"), books(path, run)
    for held in (first, second):
        assert len(held) == 60 and len(set(held.values())) == 60
        assert all((row < 31) == (id < MANAGED_IDS / 2) for id, row in held.items()), "a rank's ids have its rows"
    new, kept = second.keys() - first.keys(), second.keys() & first.keys()
    for part in (range(31), range(31, 62)):
        assert any(second[id] in part for id in new)
    assert all(state[second[id]] == 0 for id in new), "they came in at the checkpoint"
    assert all(second[id] == first[id] and state[second[id]] > 0 for id in kept) and kept
    assert train(path, "--resume", "--set=train.steps=12") == (0, "")
    one = tmp_path / "one"
    assert train(path, f"--output={one}") == (0, "")
    code, told = train(path, f"--output={one}", "--resume", "--nproc", "2", "--set=train.steps=7")
    assert (code, told) == (
        2,
        "error: the managed table 'user_id' was divided over 1 ranks; go on with as many, or with a number that divides it\n",
    )
