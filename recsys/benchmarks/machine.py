"""Where a benchmark ran: what its figures depend on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

BF16_FLAGS = ("amx_bf16", "avx512_bf16")


def machine() -> dict[str, Any]:
    """The processor, its cores, what it has for bfloat16 (x86 alone says it), and the load average now; fit for JSON."""
    flags = _cpu_line("flags").split()
    return {
        "cpu": _cpu_line("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "bf16": [flag for flag in BF16_FLAGS if flag in flags],
        "load": list(os.getloadavg()),
    }


def peak_memory() -> float:
    """The most memory that this process has held since its start, MiB. Unlike getrusage's, it knows nothing of the parent process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _cpu_line(name: str) -> str:
    """The first value of that name that the kernel tells of the processor."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
