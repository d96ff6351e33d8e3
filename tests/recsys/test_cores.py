"""How many cores a process may use: what the system lets it run on, and what its container is worth."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.cores import number_of_cores

MINE = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, MINE),
        ({"cpu.max": "max 100000\n"}, MINE),
        ({"cpu.max": "100000 100000\n"}, 1),
        ({"cpu.max": "199999 100000\n"}, 1),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "99900000 100000\n"}, MINE),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, MINE),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
    ],
)
def test_a_container_has_as_many_cores_as_its_quota_is_worth(files: dict[str, str], cores: int, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert number_of_cores(tmp_path) == cores


def test_a_process_that_is_bound_to_a_core_has_one() -> None:
    bind = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    ask = "from recsys.cores import number_of_cores; print(number_of_cores())"
    assert subprocess.run([sys.executable, "-c", f"{bind}; {ask}"], capture_output=True, text=True, check=True).stdout == "1\n"
