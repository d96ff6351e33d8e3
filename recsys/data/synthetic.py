"""Synthetic logs of any length whose best reachable metrics are known.

A row depends on the seed and its own number alone, except for the history lists, which hold the user's earlier rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import ndtri

from recsys.data.best import BestScore
from recsys.data.memory import Memory
from recsys.data.schema import Kind, Schema, columns_of
from recsys.data.synthetic_world import (
    DEVICES,
    DWELL_SPREAD,
    POSITIONS,
    SEGMENTS,
    SURFACES,
    Impressions,
    Truth,
    World,
    expected_log1p_dwell,
)
from recsys.data.writer import LogWriter
from recsys.errors import InputError

HISTORY = 20
CHUNK = 65_536
DAY_MS = 86_400_000
FIRST_DAY = date(2024, 1, 1)
EPOCH_MS = 1_704_067_200_000  # FIRST_DAY at 00:00 UTC
DRAWS = 12  # random numbers a row; a multiple of 4, as Philox makes them by fours

COLUMNS: dict[str, tuple[Kind, str]] = {
    "user_id": ("id", "user, 0 .. users - 1; a few are much more active than the rest"),
    "segment": ("id", f"segment of the user, 0 .. {SEGMENTS - 1}"),
    "age": ("number", "age of the user in years; null for a tenth of the users"),
    "item_id": ("id", "item, 0 .. items - 1; a few are shown much more often than the rest"),
    "author_id": ("id", "author of the item"),
    "category": ("id", "category of the item, a string"),
    "tags": ("ids", "1 to 3 tags of the item"),
    "price": ("number", "price of the item"),
    "item_seconds": ("number", "length of the item in seconds"),
    "surface": ("id", "where the item was shown, a string"),
    "device": ("id", "device, a string; null in 3 % of the rows"),
    "position": ("id", f"place in the list, 0 .. {POSITIONS - 1}; lower places are clicked less"),
    "hour": ("id", "hour of the day, 0 .. 23"),
    "time_ms": ("time", "milliseconds since 1970, UTC"),
    "history_item": ("sequence", f"items of the user's last {HISTORY} earlier rows, oldest first"),
    "history_author": ("sequence", "their authors"),
    "history_click": ("sequence", "1 where they were clicked"),
    "click": ("label", "1 if clicked"),
    "conversion": ("label", "1 if a click was followed by a conversion; has a meaning where click = 1"),
    "dwell_seconds": ("label", "seconds spent; 0 or log-normal"),
    "p_click": ("probability", "true probability of a click"),
    "p_conversion": ("probability", "true probability of a conversion, given a click"),
    "p_dwell_positive": ("probability", "true probability that dwell_seconds > 0"),
    "expected_log_dwell": ("probability", "true mean of log(1 + dwell_seconds)"),
}


@dataclass(frozen=True)
class Spec:
    """What to generate."""

    rows: int = 200_000
    users: int = 2_000
    items: int = 1_000
    days: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rows", "users", "items"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: must be at least 1, but got {getattr(self, name)}")
        if self.days < 3:
            raise InputError(f"days: must be at least 3 (train, valid and test are whole days), but got {self.days}")
        if self.rows > self.days * DAY_MS:
            raise InputError(f"rows: {self.rows} rows are more than one a millisecond; give at least {-(-self.rows // DAY_MS)} days")
        if self.seed < 0:
            raise InputError(f"seed: must not be negative, but got {self.seed}")

    def split_of(self, day: int) -> str:
        """The first 80 % of the days are for training, the last 10 % for the test."""
        held_out = max(round(self.days / 10), 1)
        if day >= self.days - held_out:
            return "test"
        return "valid" if day >= self.days - 2 * held_out else "train"


def generate(spec: Spec, output: Path, progress: Callable[[int], None] = lambda rows: None) -> Schema:
    """Write the log; `progress` is told the rows of each chunk as they are written. Returns the log's description.

    Raises InputError when `output` can't be replaced.
    """
    scores = {"train": BestScore(), "valid": BestScore(), "test": BestScore()}
    with LogWriter(output, _schema(spec)) as log:
        for table in tables(spec):
            for day, rows in _by_day(table):
                log.write(rows, spec.split_of(day), str(FIRST_DAY + timedelta(days=day)))
                scores[spec.split_of(day)].add(rows)
            progress(table.num_rows)
        log.record_best({split: score.values() for split, score in scores.items()})
    return log.schema


def tables(spec: Spec, chunk: int = CHUNK) -> Iterator[pa.Table]:
    """The log in order of time, `chunk` rows a table; its rows don't depend on `chunk`."""
    world, memory = World(spec.users, spec.items, spec.seed), Memory(spec.users, HISTORY)
    for start in range(0, spec.rows, chunk):
        numbers = np.arange(start, min(start + chunk, spec.rows))
        draws = _draws(spec.seed, start, len(numbers))
        time_ms = numbers * (spec.days * DAY_MS) // spec.rows
        seen = _impressions(spec, draws, time_ms)
        truth = world.truth(seen)
        click = (draws[:, 6] < truth.click).astype(np.int8)
        yield _table(world, seen, time_ms, memory.recall(seen.user, seen.item, click), {"click": click, **_feedback(truth, click, draws)})


def _draws(seed: int, start: int, rows: int) -> NDArray[np.float64]:
    """(rows, DRAWS) uniform numbers in [0, 1), the same for a row whatever chunk it comes in."""
    bits = np.random.Philox(key=[seed, 1])
    bits.advance(start * (DRAWS // 4))
    return np.random.Generator(bits).random((rows, DRAWS))


def _impressions(spec: Spec, draws: NDArray[np.float64], time_ms: NDArray[np.int64]) -> Impressions:
    device = np.searchsorted([0.35, 0.8, 0.95], draws[:, 4]).astype(np.int32)
    return Impressions(
        user=_zipf(draws[:, 0], spec.users, 1.7, spec.seed),
        item=_zipf(draws[:, 1], spec.items, 2.5, spec.seed),
        surface=np.searchsorted([0.5, 0.75], draws[:, 2]).astype(np.int32),
        device=np.where(draws[:, 5] < 0.03, np.int32(-1), device),
        position=(POSITIONS * draws[:, 3] ** 1.3).astype(np.int32),
        hour=(time_ms // 3_600_000 % 24).astype(np.int32),
    )


def _zipf(uniform: NDArray[np.float64], size: int, power: float, seed: int) -> NDArray[np.int32]:
    """Ids below `size` whose frequency falls with rank r as r^(1 / power - 1); ranks are spread over the ids."""
    rank = np.minimum(size * uniform**power, size - 1).astype(np.int64)
    return ((rank * 2_654_435_761 + seed) % size).astype(np.int32)


def _feedback(truth: Truth, click: NDArray[np.int8], draws: NDArray[np.float64]) -> dict[str, NDArray]:
    clicked = (np.arange(len(click)), click)
    dwell = np.exp(truth.log_dwell[clicked] + DWELL_SPREAD * ndtri(np.maximum(draws[:, 9], 1e-300)))
    return {
        "conversion": (click & (draws[:, 7] < truth.conversion)).astype(np.int8),
        "dwell_seconds": np.where(draws[:, 8] < truth.dwell_positive[clicked], dwell, 0).astype(np.float32),
        "p_click": truth.click,
        "p_conversion": truth.conversion,
        "p_dwell_positive": truth.dwell_positive[:, 0] * (1 - truth.click) + truth.dwell_positive[:, 1] * truth.click,
        "expected_log_dwell": expected_log1p_dwell(truth),
    }


def _table(
    world: World, seen: Impressions, time_ms: NDArray[np.int64], past: tuple[NDArray, NDArray, NDArray], outcomes: dict[str, NDArray]
) -> pa.Table:
    sizes, past_items, past_clicks = past
    tags = world.tags[seen.item]
    age = world.age[seen.user]
    arrays = {
        "user_id": seen.user.astype(np.int64),
        "segment": world.segment[seen.user],
        "age": pa.array(age, mask=np.isnan(age)),
        "item_id": seen.item.astype(np.int64),
        "author_id": world.author[seen.item],
        "category": _strings([f"category-{number:02d}" for number in range(world.category.max() + 1)], world.category[seen.item]),
        "tags": _lists((tags >= 0).sum(1), tags[tags >= 0]),
        "price": world.price[seen.item],
        "item_seconds": world.seconds[seen.item],
        "surface": _strings(SURFACES, seen.surface),
        "device": _strings(DEVICES, seen.device),
        "position": seen.position,
        "hour": seen.hour,
        "time_ms": EPOCH_MS + time_ms,
        "history_item": _lists(sizes, past_items),
        "history_author": _lists(sizes, world.author[past_items]),
        "history_click": _lists(sizes, past_clicks),
        **outcomes,
    }
    return pa.table({name: arrays[name] for name in COLUMNS})


def _strings(words: list[str] | tuple[str, ...], index: NDArray[np.int32]) -> pa.Array:
    """(B,) strings, null where the index is -1."""
    return pa.DictionaryArray.from_arrays(pa.array(index, mask=index < 0), pa.array(words)).cast(pa.string())


def _lists(sizes: NDArray, values: NDArray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(sizes)]), pa.int32()), pa.array(values))


def _by_day(table: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    days = (table["time_ms"].to_numpy() - EPOCH_MS) // DAY_MS
    for day in range(days[0], days[-1] + 1):
        first, end = np.searchsorted(days, [day, day + 1])
        yield day, table.slice(first, end - first)


def _schema(spec: Spec) -> Schema:
    sample = next(tables(Spec(rows=1, users=1, items=1)))
    return Schema(
        name="synthetic",
        description=f"{spec.rows} impressions of {spec.items} items by {spec.users} users in {spec.days} days",
        source=f"recsys generate --rows {spec.rows} --users {spec.users} --items {spec.items} --days {spec.days} --seed {spec.seed}",
        licence="free of rights: made by a random number generator",
        user="user_id",
        time="time_ms",
        columns=columns_of(sample.schema, COLUMNS),
        seed=spec.seed,
    )
