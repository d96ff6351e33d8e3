"""The ranks that a plan is for, and the memory that each has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from recsys.errors import InputError

RESERVE = 0.15  # of a device's memory: the driver's context, the communication library's buffers, fragmentation


@dataclass(frozen=True)
class Devices:
    """The ranks that are planned for: `local` of them share a machine, and each has `memory` bytes (no limit when None).

    kind: `cuda` or `cpu`.
    """

    ranks: int
    local: int
    kind: str
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.local < 1:
            raise InputError(f"world size {self.ranks} and local world size {self.local} must be 1 or more")
        if self.ranks % self.local:
            raise InputError(f"world size {self.ranks} is no multiple of local world size {self.local}: every machine has as many ranks")

    @property
    def limit(self) -> int | None:
        """Bytes that a plan may fill."""
        return None if self.memory is None else int(self.memory * (1 - RESERVE))


def parse_bytes(text: str, source: str) -> int:
    """Bytes of `80GB` (10^9), `80GiB` (2^30) or a plain number. Raises InputError, which names `source`."""
    try:
        size = int(TypeAdapter(ByteSize).validate_python(text))
    except (ValidationError, OverflowError):
        size = 0
    if size <= 0:
        raise InputError(f"{source}: {text!r} is no size; write it as 80GB (80 * 10^9 bytes) or 80GiB (80 * 2^30)")
    return size


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process is in."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    told = limit.read_text().strip() if limit.is_file() else "max"
    return min(memory, int(told)) if told.isdecimal() else memory


def readable(size: int) -> str:
    """`68.0 GB`: bytes for people, in powers of ten as devices are sold."""
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"
