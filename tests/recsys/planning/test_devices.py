"""Sizes and ranks as people give them."""

from __future__ import annotations

import pytest

from recsys.errors import InputError
from recsys.planning.devices import Devices, machine_memory, parse_bytes, readable


@pytest.mark.parametrize(("text", "size"), [("80GB", 80 * 10**9), ("80 GiB", 80 * 2**30), ("1.5gb", 1_500_000_000), ("123", 123)])
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text, "--hbm") == size


@pytest.mark.parametrize("text", ["", "80 gigs", "-1GB", "0", "GB", "nan", "1e400"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--hbm: .* is no size; write it as 80GB"):
        parse_bytes(text, "--hbm")


@pytest.mark.parametrize(("ranks", "local"), [(10, 4), (0, 1), (4, 0), (4, 8)])
def test_ranks_must_fill_their_machines(ranks: int, local: int) -> None:
    with pytest.raises(InputError, match="world size"):
        Devices(ranks, local, "cuda")


def test_readable() -> None:
    assert [readable(size) for size in (0, 999, 1000, 80 * 10**9, 2 * 10**12)] == ["0 B", "999 B", "1.0 kB", "80.0 GB", "2.0 TB"]


def test_machine_memory_is_what_the_kernel_says_at_most() -> None:
    with open("/proc/meminfo") as information:  # noqa: PTH123
        total = next(int(line.split()[1]) * 1024 for line in information if line.startswith("MemTotal"))
    assert 0 < machine_memory() <= total * 1.01
