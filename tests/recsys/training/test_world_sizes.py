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
from job_cases import write_job

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
    return {size: _run(size, folder / f"ranks-{size}", files) for size in (1, 2)}


def _run(size: int, output: Path, files: list[Path]) -> Path:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=localhost", f"--nproc-per-node={size}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    subprocess.run([*command, str(SCRIPT), str(output), str(STEPS), *map(str, files)], check=True, env=environment, timeout=280)
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
