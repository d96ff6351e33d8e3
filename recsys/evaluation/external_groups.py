"""Metrics within groups of more rows than fit in memory: rows are parted on disk so that a group is in one part."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.evaluation.binary import positives_of
from recsys.evaluation.groups import GroupMean, GroupValues, group_codes

PARTS = 64
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)  # 2^64 / golden ratio: groups with neighbouring numbers go to different parts
Chunk = tuple[ArrayLike, ArrayLike, NDArray[np.integer]]
Metric = Callable[[NDArray, NDArray, NDArray[np.int32]], GroupValues]


def group_metrics_of_chunks(
    chunks: Iterable[Chunk], metrics: Mapping[str, Metric], folder: Path | None = None, parts: int = PARTS
) -> dict[str, GroupMean]:
    """Means over groups, such as `{"gauc": group_auc}`, from chunks of (scores, labels, groups), a group's rows in any chunks.

    Equal to those of all rows in memory up to the rounding of one sum, in about 60 bytes for each row of one part of `parts`, and 13
    bytes a row (17 for float64 scores) of disk under `folder` (the system's temporary one if None). groups: (n,) whole numbers.

    Raises:
        ValueError: as the metrics, or where the chunks' dtypes differ.
    """
    found: dict[str, list[GroupValues]] = {name: [] for name in metrics}
    with tempfile.TemporaryDirectory(prefix="groups-", dir=folder) as temporary:
        for rows in _parted(chunks, Path(temporary), parts):
            codes = group_codes(rows["group"])
            for name, metric in metrics.items():
                found[name].append(metric(rows["score"], rows["positive"], codes))
    return {name: _mean(parts_found) for name, parts_found in found.items()}


def _parted(chunks: Iterable[Chunk], folder: Path, parts: int) -> Iterator[NDArray]:
    record: np.dtype | None = None
    with ExitStack() as files:
        streams = [files.enter_context((folder / str(part)).open("wb")) for part in range(parts)]
        for scores, labels, groups in chunks:
            rows = _records(np.asarray(scores).ravel(), labels, groups)
            if record not in (None, rows.dtype):
                raise ValueError(f"scores of {rows.dtype['score']} after others")
            record = rows.dtype
            part = ((groups.astype(np.uint64) * _MIX) >> np.uint64(32)) % np.uint64(parts)
            order = np.argsort(part, kind="stable")
            for stream, of_part in zip(streams, np.split(rows[order], np.cumsum(np.bincount(part, minlength=parts))[:-1]), strict=True):
                of_part.tofile(stream)
    if record is not None:
        yield from (np.fromfile(folder / str(part), record) for part in range(parts))


def _records(scores: NDArray, labels: ArrayLike, groups: NDArray[np.integer]) -> NDArray:
    if groups.size != scores.size:
        raise ValueError(f"{scores.size} scores but {groups.size} groups")
    rows = np.empty(scores.size, [("group", np.int64), ("score", scores.dtype), ("positive", bool)])
    rows["group"], rows["score"], rows["positive"] = groups, scores, positives_of(labels, scores.size)
    return rows


def _mean(parts: list[GroupValues]) -> GroupMean:
    total = weight = 0.0
    groups = left_out = 0
    for part in parts:
        has = ~np.isnan(part.values)
        total += float((part.weights[has] * part.values[has]).sum())
        weight += float(part.weights[has].sum())
        groups += int(has.sum())
        left_out += int(has.size - has.sum())
    return GroupMean(total / weight if weight else math.nan, groups, left_out)
