"""Two processes do what one does: the same losses, weights and metrics, whatever the sharding plan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from job_cases import write_job

import emtl

STEPS = 50
SCRIPT = Path(__file__).parent / "trace_steps.py"
PLANS: dict[str, dict[str, Any]] = {
    "table_wise": {"default": "table_wise"},
    "row_wise": {"default": "row_wise"},
    "mixed": {"default": "table_wise", "tables": {"item_id": "row_wise", "user_id": "row_wise", "tags": "row_wise"}},
}


@pytest.fixture(scope="module")
def traces(small_log: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """World size -> folder with a trace for each plan and rank."""
    folder = tmp_path_factory.mktemp("jobs")
    files = []
    for name, sharding in PLANS.items():
        files.append(write_job(small_log, folder, train={"sharding": sharding}).rename(folder / f"{name}.yaml"))
    return {size: _run(size, STEPS, folder / f"ranks-{size}", files) for size in (1, 2)}


def _run(size: int, steps: int, output: Path, files: list[Path]) -> Path:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=localhost", f"--nproc-per-node={size}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    subprocess.run([*command, str(SCRIPT), str(output), str(steps), *map(str, files)], check=True, env=environment, timeout=900)
    return output


def _trace(folder: Path, plan: str, rank: int) -> dict[str, Any]:
    return json.loads((folder / plan / f"rank-{rank}.json").read_text())


def _weights(trace: dict[str, Any]) -> np.ndarray:
    return np.array([[float.fromhex(value) for value in step] for step in trace["weights"]])


@pytest.mark.parametrize("plan", PLANS)
def test_weights_are_bit_identical_on_both_ranks(traces: dict[int, Path], plan: str) -> None:
    first, second = (_trace(traces[2], plan, rank) for rank in (0, 1))
    assert first["weights"] == second["weights"] and first["losses"] == second["losses"] and len(first["weights"]) == STEPS


@pytest.mark.parametrize("plan", PLANS)
def test_losses_and_weights_are_those_of_one_process(traces: dict[int, Path], plan: str) -> None:
    one, two = _trace(traces[1], "table_wise", 0), _trace(traces[2], plan, 0)
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-6)
    np.testing.assert_allclose(_weights(two), _weights(one), rtol=1e-6)
    assert _weights(one).std(axis=0).min() > 1e-3, "weights that never move show nothing"


@pytest.mark.parametrize("plan", PLANS)
def test_auc_is_that_of_one_process(traces: dict[int, Path], plan: str) -> None:
    one, two = (_trace(traces[size], plan, 0)["metrics"] for size in (1, 2))
    for name in ("ctr/auc", "cvr/auc", "dwell/auc"):
        assert two[name] == pytest.approx(one[name], abs=0.002)
    assert two["ctr/rows"] == one["ctr/rows"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_strategy_is_that_of_one_process_over_sharded_fused_tables(small_log: Path, tmp_path: Path) -> None:
    """1, 2 and 4 processes, through the trainer: losses and weights of every registered strategy over 5 steps, to 1e-6."""
    files = []
    for name in emtl.names():
        job = yaml.safe_load(write_job(small_log, tmp_path, train={"sharding": PLANS["mixed"]}).read_text())
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(job | {"mto": {"strategy": name}}))
        files.append(file)
    folders = {size: _run(size, 5, tmp_path / f"ranks-{size}", files) for size in (1, 2, 4)}
    for name in emtl.names():
        one = _trace(folders[1], name, 0)
        for size in (2, 4):
            ranks = [_trace(folders[size], name, rank) for rank in range(size)]
            assert all(rank["weights"] == ranks[0]["weights"] for rank in ranks), f"{name}: ranks differ"
            np.testing.assert_allclose(ranks[0]["losses"], one["losses"], rtol=1e-6, err_msg=f"losses of {name} on {size} ranks")
            np.testing.assert_allclose(
                _weights(ranks[0]), _weights(one), rtol=1e-6, atol=1e-6, err_msg=f"weights of {name} on {size} ranks"
            )
