"""What to change where a job doesn't fit. What is said to fit was planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from recsys.config import Config
from recsys.data.layout import layout
from recsys.errors import InputError
from recsys.models.embeddings import table_key
from recsys.planning.dense import dense_memory
from recsys.planning.devices import RESERVE, Devices, readable
from recsys.planning.estimate import Estimate, batches_memory, estimate, place
from recsys.planning.load import table_rows

MOST_RANKS = 4096


def check_fits(config: Config, devices: Devices) -> Estimate:
    """The estimate of a job that fits. Raises InputError, with what is too large and what to change, for one that can't."""
    found = estimate(config, devices)
    if found.fits is False:
        raise InputError("\n".join([too_large(found), *advice(config, found)]))
    return found


def too_large(found: Estimate) -> str:
    """One line: how much the largest rank would hold, and the limit."""
    devices, total = found.devices, found.total
    rank = int(total.argmax())
    return (
        f"the job doesn't fit on {devices.ranks} rank(s) of {readable(devices.memory or 0)}: rank {rank} would hold "
        f"{readable(int(total[rank]))} of {readable(devices.limit or 0)} ({RESERVE:.0%} are kept free)"
    )


def advice(config: Config, found: Estimate) -> list[str]:
    """What to change, with its keys, the nearest first. Empty where the job fits."""
    return list(_advice(config, found)) if found.fits is False else []


def _advice(config: Config, found: Estimate) -> Iterator[str]:
    limit = found.devices.limit or 0
    if found.kept > limit // 2:
        yield _beside_the_tables(config, found)
    if found.kept >= limit:
        return
    whole = [row for row in table_rows(found.plan) if row["sharding"] == "table_wise" and row["bytes"] > limit - found.kept]
    if whole:
        yield _too_large_for_a_rank(whole, limit - found.kept)
        yield from _by_hand(config, found, whole)
    automatic = _with_sharding(config, {"default": "auto", "tables": {}})
    fitting = _fitting(automatic, found)
    if fitting is None:
        yield f"no plan fits {found.devices.ranks} rank(s), and none was found for up to {MOST_RANKS}"
    elif fitting.devices.ranks == found.devices.ranks:
        rows = sum(row["sharding"] == "row_wise" for row in table_rows(fitting.plan))
        yield f"--set train.sharding.default=auto fits: {rows} table(s) by rows, the largest rank {readable(int(fitting.total.max()))}" + (
            "; drop train.sharding.tables" if config.train.sharding.tables else ""
        )
    else:
        ranks = fitting.devices.ranks
        more = f" and data.streams={ranks}" if config.data.streams < ranks else ""
        yield f"{ranks} ranks are enough{more}, with train.sharding.default=auto: the largest holds {readable(int(fitting.total.max()))}"
    yield _smaller_table(config, found)


def _beside_the_tables(config: Config, found: Estimate) -> str:
    """What every rank holds whatever the tables, and the keys that decide it."""
    told = f"beside the tables each rank holds {readable(found.kept)}, of which {readable(found.dense.activations)} follow the batch"
    keys = [f"a smaller data.batch_size (now {config.data.batch_size:,})", "more ranks"]
    keys += ["train.precision=bfloat16"] if config.train.precision == "float32" else []
    keys += ["mto.scope=representation"] if config.mto.scope == "parameters" else []
    return f"{told}: {', '.join(keys)}"


def _too_large_for_a_rank(rows: list[dict[str, Any]], free: int) -> str:
    rows = sorted(rows, key=lambda row: (-row["bytes"], row["table"]))
    names = ", ".join(repr(row["table"]) for row in rows[:5]) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return f"too large for one rank, which has {readable(free)} for tables: {names} (up to {readable(rows[0]['bytes'])}); divide by rows"


def _smaller_table(config: Config, found: Estimate) -> str:
    """The largest table and what half of its dimension would save."""
    row = max(table_rows(found.plan), key=lambda row: row["bytes"])
    own = [name for name in layout(config.features).tables if _is_table(row, name)]
    shape = f"{row['rows']:,} rows x {row['dimension']} = {readable(row['bytes'])}"
    half = f"half of the dimension of {max(own, key=len)!r} saves {readable(row['bytes'] // 2)}"
    return f"the largest table is {row['table']!r}: {shape}; {half}, and fewer buckets save in proportion"


def _fitting(config: Config, found: Estimate) -> Estimate | None:
    """The job on as many ranks or, doubling them, the fewest that fit."""
    features, devices = layout(config.features), found.devices
    dense, batches = found.dense, found.batches
    while True:
        fitting = place(config, features, devices, dense, batches)
        if fitting.fits:
            return fitting
        devices = replace(devices, ranks=2 * devices.ranks, local=devices.local if devices.ranks > devices.local else 2 * devices.local)
        if devices.ranks > min(MOST_RANKS, config.data.batch_size):
            return None
        rows = config.data.batch_size // devices.ranks
        dense, batches = dense_memory(config, features, rows), batches_memory(config, features, devices, rows)


def _by_hand(config: Config, found: Estimate, rows: list[dict[str, Any]]) -> Iterator[str]:
    """The exceptions that divide these tables alone by rows, where that fits."""
    names = [name for name in layout(config.features).tables if any(_is_table(row, name) for row in rows)]
    tables = config.train.sharding.tables | dict.fromkeys(names, "row_wise")
    divided = place(_with_sharding(config, {"tables": tables}), layout(config.features), found.devices, found.dense, found.batches)
    if divided.fits:
        written = ", ".join(f"{name}: {way}" for name, way in tables.items())
        yield f"--set 'train.sharding.tables={{{written}}}' fits: the largest rank {readable(int(divided.total.max()))}"


def _is_table(row: dict[str, Any], name: str) -> bool:
    """Whether a row of the plan is that table of the configuration, or one task's own copy of it."""
    return bool(f"/{row['table']}".endswith("/" + table_key(name)))


def _with_sharding(config: Config, sharding: dict[str, Any]) -> Config:
    changed = config.train.sharding.model_copy(update=sharding)
    return config.model_copy(update={"train": config.train.model_copy(update={"sharding": changed})})
