"""What each rank holds, looks up and sends under a plan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torchrec import EmbeddingBagCollection
from torchrec.distributed.planner.types import ShardingOption

from recsys.planning.planner import STATE, bytes_of_ids

VALUE = 4  # bytes of a number in a table
PARTS = ("tables", "optimizer", "ids", "lookups", "dense", "activations", "batches")
Bytes = NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """Of each of W ranks.

    memory: bytes by part, (W,) each: `tables` and the `optimizer` state of their rows; `ids` that managed rows belong to; `lookups`, the
    ids that a rank is sent and the embeddings that it sends in a step.
    traffic: bytes a step by kind, (W,) each, that come from or go to other ranks: `ids` that come in, `embeddings` that go out and
    `gradients` that come back.
    lookups: (W,) ids looked up a step; a shard of columns counts for its share of them.
    """

    memory: dict[str, Bytes]
    traffic: dict[str, Bytes]
    lookups: NDArray[np.float64]


def load_of(plan: Sequence[ShardingOption], ranks: int, rows: int) -> Load:
    """The load of `ranks` ranks, each with `rows` rows of a batch, whose lists are all as long as they may be.

    Ids are taken to be spread evenly over a table's rows, as hashed ones are.
    """
    memory = {part: np.zeros(ranks, np.int64) for part in ("tables", "optimizer", "ids", "lookups")}
    traffic = {kind: np.zeros(ranks, np.int64) for kind in ("ids", "embeddings", "gradients")}
    lookups = np.zeros(ranks)
    for option in plan:
        table_rows, dimension = option.tensor.shape
        ids_each, peers = sum(option.input_lengths), (ranks - 1) * rows
        bytes_of_id = 12 if isinstance(module := option.module[1], EmbeddingBagCollection) and module.is_weighted() else 8
        for shard in option.shards:
            rank, (own, columns) = shard.rank or 0, shard.size
            if not own:
                continue
            share = own / table_rows
            state = {"tables": VALUE * own * columns, "optimizer": STATE * own, "ids": bytes_of_ids(option) * own}
            for part, size in state.items():
                memory[part][rank] += size
            memory["lookups"][rank] += (shard.storage.hbm or shard.storage.ddr) - sum(state.values())
            sent = len(option.input_lengths) if option.is_pooled else ids_each * share
            traffic["ids"][rank] += peers * (bytes_of_id * ids_each * share + 4 * len(option.input_lengths))
            for kind in ("embeddings", "gradients"):
                traffic[kind][rank] += peers * sent * columns * VALUE
            lookups[rank] += ranks * rows * ids_each * share * columns / dimension
    return Load(memory, traffic, lookups)


def table_rows(plan: Sequence[ShardingOption]) -> list[dict[str, Any]]:
    """One row a table, fit for JSON: table, module, sharding, kernel, ranks, rows, dimension, bytes of the values."""
    return sorted(_table_rows(plan), key=lambda row: (row["module"], row["table"]))


def _table_rows(plan: Sequence[ShardingOption]) -> Iterator[dict[str, Any]]:
    for option in plan:
        rows, dimension = option.tensor.shape
        how = option.sharding_type, option.compute_kernel, [shard.rank for shard in option.shards]
        yield table_row(option.path, option.name, *how, rows, dimension)


def table_row(module: str, table: str, sharding: str, kernel: str, ranks: list[Any] | None, rows: int, dimension: int) -> dict[str, Any]:
    """A table of a plan, fit for JSON; `bytes` are those of its values."""
    row = {"table": table, "module": module, "sharding": sharding, "kernel": kernel, "ranks": ranks}
    return row | {"rows": rows, "dimension": dimension, "bytes": VALUE * rows * dimension}
