"""The logs that the benchmarks read: made once, the same every time, kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.schema import Kind, Schema, columns_of
from recsys.data.writer import ROW_GROUP, LogWriter

LENGTH = 50  # of the wide log's sequences
INTEGERS = {f"id_{number}": 4 << number for number in range(16)}
TEXTS = {f"text_{number}": 10 * 8**number for number in range(4)}
NUMBERS = [f"number_{number}" for number in range(14)]
ITEMS = {"history_item": 50_000, "history_category": 500}

ONEHOT = [2, 7, 50, 1_471, 15, 34, 3, 118, 454, 7, 5, 5, 2, 2, 2, 2, 2]
KUAIRAND = {
    "user_id": 27_285,
    "video_id": 7_583,
    "author_id": 6_000,
    "tab": 15,
    "hour": 24,
    "weekday": 7,
    "tag": 2_000,
    "video_type": 3,
    "upload_type": 20,
    "music_id": 5_000,
    "music_type": 10,
    "user_active_degree": 9,
    "follow_user_num_range": 8,
    "fans_user_num_range": 9,
    "friend_user_num_range": 7,
    "register_days_range": 7,
    "is_lowactive_period": 2,
    "is_live_streamer": 2,
    "is_video_author": 2,
    **{f"onehot_feat{place}": size for place, size in enumerate(ONEHOT)},
}
"""The 36 id columns of KuaiRand-Pure that are known before an impression, and about how many values each has."""
KUAIRAND_TEXTS = {"tag", "video_type", "upload_type", "user_active_degree"} | {name for name in KUAIRAND if name.endswith("_range")}

Columns = dict[str, pa.Array]


def wide_log(folder: Path, rows: int, tell: Callable[[str], None]) -> Path:
    """40 columns: 20 ids (4 are strings), a list of tags, a history of 50 items and their categories, 14 numbers, 3 labels."""
    columns: list[tuple[Kind, Iterable[str]]] = [("id", [*INTEGERS, *TEXTS]), ("ids", ["tags"]), ("number", NUMBERS), ("sequence", ITEMS)]
    return _kept(folder / f"wide-{rows}", rows, _wide_rows, columns, tell)


def kuairand_shaped_log(folder: Path, rows: int, tell: Callable[[str], None]) -> Path:
    """The columns of KUAIRAND, skewed, and 3 labels by the names that `recsys prepare kuairand` gives them."""
    return _kept(folder / f"kuairand-shaped-{rows}", rows, _kuairand_rows, [("id", KUAIRAND)], tell)


def repeated(files: Sequence[str], times: int, folder: Path) -> list[str]:
    """The files, `times` over, as links in a new folder: a log of so many times the rows."""
    folder.mkdir(parents=True)
    links = [(folder / f"{time}-{place}.parquet", file) for time in range(times) for place, file in enumerate(files)]
    for link, file in links:
        link.symlink_to(Path(file).resolve())
    return [str(link) for link, _ in links]


_LABELS: tuple[Kind, Iterable[str]] = ("label", ["is_click", "engaged", "watch_seconds"])


def _kept(
    log: Path,
    rows: int,
    make: Callable[[np.random.Generator, int], Columns],
    columns: Iterable[tuple[Kind, Iterable[str]]],
    tell: Callable[[str], None],
) -> Path:
    """The log in its folder, written if it isn't there; row group i is drawn from a generator of its own."""
    if log.exists():
        return log
    meanings = {name: (kind, "random") for kind, names in [*columns, _LABELS] for name in names}
    empty = pa.table(make(np.random.default_rng(0), 0) | _labels(np.random.default_rng(0), 0)).schema
    schema = Schema(
        name=log.name,
        description="Random columns for benchmarks; nothing can be learned from them.",
        source="recsys bench",
        licence="none",
        columns=columns_of(empty, meanings),
    )
    log.parent.mkdir(parents=True, exist_ok=True)
    with LogWriter(log, schema) as writer:
        for start in range(0, rows, ROW_GROUP):
            tell(f"writing {log}, row {start:,} of {rows:,}")
            random, size = np.random.default_rng((0, start)), min(ROW_GROUP, rows - start)
            writer.write(pa.table(make(random, size) | _labels(random, size)), "train")
    return log


def _wide_rows(random: np.random.Generator, rows: int) -> Columns:
    integers = {name: pa.array(_skewed(random, rows, size)) for name, size in INTEGERS.items()}
    texts = {name: _texts(_skewed(random, rows, size), size) for name, size in TEXTS.items()}
    numbers: Columns = {name: pa.array(random.exponential(size=rows), mask=random.random(rows) < 0.02) for name in NUMBERS}
    tags = {"tags": _lists(random, random.integers(0, 6, rows), 1_000)}
    histories = {name: _lists(random, np.full(rows, LENGTH), size) for name, size in ITEMS.items()}
    return integers | texts | tags | numbers | histories


def _kuairand_rows(random: np.random.Generator, rows: int) -> Columns:
    ids = {name: _skewed(random, rows, size) for name, size in KUAIRAND.items()}
    return {name: _texts(own, KUAIRAND[name]) if name in KUAIRAND_TEXTS else pa.array(own) for name, own in ids.items()}


def _labels(random: np.random.Generator, rows: int) -> Columns:
    click = random.random(rows) < 0.44
    engaged = click & (random.random(rows) < 0.075)
    seconds = random.exponential(20, rows).astype(np.float32)
    return {"is_click": pa.array(click.astype(np.int8)), "engaged": pa.array(engaged.astype(np.int8)), "watch_seconds": pa.array(seconds)}


def _skewed(random: np.random.Generator, number: int, size: int) -> NDArray[np.int64]:
    """Ids 0 .. size - 1, small ones more often."""
    return (size * random.random(number, np.float32) ** 3).astype(np.int64).clip(max=size - 1)


def _texts(ids: NDArray[np.int64], size: int) -> pa.Array:
    return pa.array([f"value {place}" for place in range(size)]).take(pa.array(ids))


def _lists(random: np.random.Generator, lengths: NDArray[np.int64], size: int) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(_skewed(random, int(offsets[-1]), size)))


def wide_features() -> list[dict[str, Any]]:
    """What a configuration reads of the wide log: all of it."""
    ids = [{"kind": "id", "name": name, "buckets": 2 * size} for name, size in (INTEGERS | TEXTS).items()]
    numbers = [{"kind": "number", "name": name, "log1p": True, "clip": 4} for name in NUMBERS]
    items = [{"column": name, "buckets": 2 * size} for name, size in ITEMS.items()]
    history = {"kind": "sequence", "name": "history", "max_length": LENGTH, "items": items}
    return [*ids, {"kind": "ids", "name": "tags", "buckets": 2_000}, *numbers, history]


def kuairand_features() -> list[dict[str, Any]]:
    """36 hashed ids of dimension 16."""
    return [{"kind": "id", "name": name, "buckets": 2 * size, "dimension": 16} for name, size in KUAIRAND.items()]


TASKS: list[dict[str, Any]] = [
    {"kind": "binary", "name": "ctr", "label": "is_click"},
    {"kind": "binary", "name": "cvr", "label": "engaged", "space": "is_click"},
    {"kind": "duration", "name": "dwell", "label": "watch_seconds"},
]
MODEL: dict[str, Any] = {"architecture": "mmoe", "experts": 4, "expert_layers": [128, 64], "tower_layers": [64]}


def document(log: Path, features: list[dict[str, Any]], **sections: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a job on a made log; `sections` are added to it."""
    data = {"train": str(log / "split=train"), "valid": str(log / "split=train")}
    return {
        "run": {"name": log.name},
        "data": data | sections.pop("data", {}),
        "features": features,
        "tasks": TASKS,
        "model": MODEL,
        "tracking": {"enabled": False},
        **sections,
    }
