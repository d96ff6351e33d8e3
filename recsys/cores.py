"""How many cores there are for this process, and how many threads each rank takes."""

from __future__ import annotations

import os
from pathlib import Path

AGENT = "TORCHELASTIC_RUN_ID"  # set in workers of torchrun's agent


def cores() -> list[int]:
    """The numbers of those that this process may use, which may be fewer than the machine has."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def number_of_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """How many this process may use, and no more than its container's share of processor time is worth; at least 1.

    groups: where control groups are mounted, of version 2 or 1.
    """
    return max(1, min(len(cores()), int(_share(groups))))


def _share(groups: Path) -> float:
    """Cores' worth of processor time that the control group gets."""
    for files in ([groups / "cpu.max"], [groups / "cpu" / "cpu.cfs_quota_us", groups / "cpu" / "cpu.cfs_period_us"]):
        if all(file.exists() for file in files):
            quota, period = " ".join(file.read_text() for file in files).split()
            return len(cores()) if quota in ("max", "-1") else int(quota) / int(period)
    return len(cores())


def threads(local_size: int) -> int:
    """Threads of a rank that shares the cores with `local_size` - 1 others; OMP_NUM_THREADS where a person said so.

    Under torchrun's agent that variable isn't looked at: torchrun sets it to 1 by itself.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) and AGENT not in os.environ else max(1, number_of_cores() // local_size)
