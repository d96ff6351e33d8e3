"""What was skipped because of damage, over all ranks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from recsys.data.guard import KINDS
from recsys.data.reader import Reader
from recsys.distributed import World


def skipped_rows(reader: Reader, world: World) -> dict[str, int]:
    """Rows skipped since the last call, by kind of damage, without zeros; the same on every rank. Collective."""
    if not reader.skips:
        return {}
    rows = torch.from_numpy(reader.take_skipped()).to(world.device)
    dist.all_reduce(rows, group=world.group)
    return {kind: number for kind, number in zip(KINDS, rows.tolist(), strict=True) if number}


def skipped_metrics(rows: Mapping[str, int], reader: Reader, split: str = "") -> dict[str, float]:
    """`data/skipped_rows` and `data/skipped_files`, in all and by kind of damage; none where nothing may be skipped."""
    if not reader.skips:
        return {}
    metrics: dict[str, float] = {}
    skipped: dict[str, Mapping[Any, int]] = {"rows": rows, "files": reader.lost_files}
    for what, counts in skipped.items():
        name = "/".join(filter(None, ["data", split, f"skipped_{what}"]))
        metrics |= {name: float(sum(counts.values()))} | {f"{name}/{kind}": float(number) for kind, number in counts.items()}
    return metrics


def skipped_result(rows: Mapping[str, Mapping[str, int]], readers: Mapping[str, Reader]) -> dict[str, Any]:
    """For the result file: rows and files by split and kind of damage."""
    return {split: {"rows": dict(rows.get(split, {})), "files": dict(reader.lost_files)} for split, reader in readers.items()}
