"""The trainings of a seed are paired: strategies see the same rows in the same order, and start from the same values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from job_cases import write_job

from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.study.child import Child

SCRIPT = Path(__file__).parents[1] / "training" / "trace_steps.py"
STRATEGIES = ("equal", "emtl", "nash")
Trace = dict[str, dict[str, Any]]


def traced(folder: Path, ranks: int, strategies: Sequence[str]) -> Trace:
    """Losses of the first two steps of each child, through the trainer."""
    generate(Spec(rows=3_000, users=100, items=50, days=10, seed=2), folder / "log")
    job = write_job(folder / "log", folder)
    config = load_config(job)
    children = [*(Child(name, "mmoe", 0) for name in strategies), Child("equal", "mmoe", 1)]
    files = []
    for child in children:
        files.append(folder / f"{child.name}.yaml")
        files[-1].write_text(yaml.safe_dump(load_config(job, child.overrides(config)).model_dump(mode="json")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--local-addr=localhost", f"--nproc-per-node={ranks}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    subprocess.run([*command, str(SCRIPT), str(folder), "2", *map(str, files)], check=True, env=environment, timeout=800)
    return {child.name: json.loads((folder / child.name / "rank-0.json").read_text()) for child in children}


def are_paired(traces: Trace, strategies: Sequence[str]) -> None:
    first = {name: trace["losses"][0] for name, trace in traces.items()}
    assert all(first[f"{name}-mmoe-0"] == first["equal-mmoe-0"] for name in strategies)
    assert first["equal-mmoe-1"] != first["equal-mmoe-0"], "another seed has other rows and values"


@pytest.mark.timeout(900)
def test_first_losses_are_bit_identical_over_strategies(tmp_path: Path) -> None:
    traces = traced(tmp_path, 1, STRATEGIES)
    are_paired(traces, STRATEGIES)
    assert traces["emtl-mmoe-0"]["losses"][1] != traces["equal-mmoe-0"]["losses"][1], "from the second step on strategies part"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_another_number_of_ranks_keeps_the_pairing(tmp_path: Path) -> None:
    """Bit by bit among the strategies; to those of one process to the bound that the README gives for any training."""
    names = (*STRATEGIES, "pcgrad", "famo", "emtl")[:5]
    one, two = traced(tmp_path / "1", 1, names), traced(tmp_path / "2", 2, names)
    are_paired(two, names)
    for name, trace in one.items():
        np.testing.assert_allclose(two[name]["losses"], trace["losses"], rtol=1e-6)
