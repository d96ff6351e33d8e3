"""How many cores there are for this process, and how many threads each rank takes."""

from __future__ import annotations

import os

AGENT = "TORCHELASTIC_RUN_ID"  # set in workers of torchrun's agent


def cores() -> list[int]:
    """The numbers of those that this process may use, which may be fewer than the machine has."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def threads(local_size: int) -> int:
    """Threads of a rank that shares the cores with `local_size` - 1 others; OMP_NUM_THREADS where a person said so.

    Under torchrun's agent that variable isn't looked at: torchrun sets it to 1 by itself.
    """
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) and AGENT not in os.environ else max(1, len(cores()) // local_size)
