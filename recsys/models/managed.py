"""Tables whose rows are given to ids as they come and taken back from ids that no longer do: no two ids share one.

TorchRec's managed collision modules keep, for each table, which id has which row. An id is its hash of 62 bits; among a hundred million
ids the chance that any two have the same is about a thousandth. Every `eviction_every` steps the ids of these steps contend with those that
have a row. The last row of a rank's part of the table stands for all ids that have none. Three things are done otherwise than in TorchRec:

- a row that changes hands starts anew, its optimizer state too. TorchRec's kernel for that exists on GPUs alone;
- the ids of the steps since the last contest are all remembered; TorchRec drops those beyond 1.25 x the first batch's;
- before a checkpoint there is a contest, because TorchRec saves no ids that wait for one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, JaggedTensor
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.mc_embeddingbag import (
    ManagedCollisionEmbeddingBagCollectionSharder,
    ShardedManagedCollisionEmbeddingBagCollection,
)
from torchrec.modules.mc_embedding_modules import ManagedCollisionEmbeddingBagCollection
from torchrec.modules.mc_modules import (
    DistanceLFU_EvictionPolicy,
    LFU_EvictionPolicy,
    LRU_EvictionPolicy,
    ManagedCollisionCollection,
    MCHEvictionPolicy,
    MCHManagedCollisionModule,
)

from recsys.data.features.encoding import MANAGED_IDS, Table
from recsys.errors import InputError

POLICIES: dict[str, type[MCHEvictionPolicy]] = {
    "lfu": LFU_EvictionPolicy,
    "lru": LRU_EvictionPolicy,
    "distance_lfu": DistanceLFU_EvictionPolicy,
}
START = 0.01  # deviation of a table's first values


class RowsOfIds(MCHManagedCollisionModule):
    """Which id has which row of a table, or of a rank's part of it."""

    _history_accumulator: Tensor

    def profile(self, features: dict[str, JaggedTensor]) -> dict[str, JaggedTensor]:
        """Remember the ids of a step; every so many steps, let them contend."""
        if self.training:
            self._make_room(sum(feature.values().numel() for feature in features.values()), features)
        return super().profile(features)

    def contest(self) -> None:
        """Let the ids that wait contend now."""
        if self._current_history_buffer_offset:
            self._coalesce_history()
            self._last_eviction_iter = self._current_iter

    def validate_state(self) -> None:
        """Raise InputError where a checkpoint divided the ids in another way."""
        start, known = self._output_global_offset, self._output_segments_tensor.tolist()
        if start not in known or start + self._zch_size not in known:
            raise InputError(
                f"the managed table {self._name!r} was divided over {sum(edge >= 0 for edge in known) - 1} ranks; "
                "go on with as many, or with a number that divides it"
            )
        super().validate_state()

    def _make_room(self, ids: int, features: dict[str, JaggedTensor]) -> None:
        if self._input_history_buffer_size == -1:
            self._init_history_buffers(features)
        missing = self._current_history_buffer_offset + ids - self._input_history_buffer_size
        if missing <= 0:
            return
        more = torch.zeros(max(missing, self._input_history_buffer_size), dtype=torch.int64, device=self.device)
        self._history_accumulator = torch.cat([self._history_accumulator, more])
        for name, known in self._history_metadata.items():
            self._history_metadata[name] = torch.cat([known, more])
            setattr(self, f"_history_{name}", self._history_metadata[name])
        self._input_history_buffer_size += len(more)


class _Sharded(ShardedManagedCollisionEmbeddingBagCollection):
    """Rows that change hands start anew, on any device."""

    def contest(self) -> None:
        """Let the ids that wait contend now, and start the rows anew that change hands."""
        collection = self._managed_collision_collection
        for rows in collection._managed_collision_modules.values():
            rows.contest()
        self._evict(collection.evict())

    @torch.no_grad()
    def _evict(self, evictions_per_table: dict[str, Tensor | None]) -> None:
        for table, rows in evictions_per_table.items():
            if rows is None or not rows.numel():
                continue
            kernel, position = self._table_to_tbe_and_index[table]
            weights = kernel.split_embedding_weights()[int(position)]
            weights[rows] = torch.empty(len(rows), weights.shape[1], device=weights.device, dtype=weights.dtype).normal_(0, START)
            for state in kernel.split_optimizer_states()[int(position)]:
                state[rows] = 0


class ManagedSharder(ManagedCollisionEmbeddingBagCollectionSharder):
    """Shards by rows, the only way in which TorchRec divides such a table."""

    def __init__(self, bags: EmbeddingBagCollectionSharder) -> None:
        super().__init__(bags)

    def shard(self, module: Any, params: Any, env: Any, device: torch.device | None = None, module_fqn: str | None = None) -> _Sharded:
        return _Sharded(module, params, ebc_sharder=self._e_sharder, mc_sharder=self._mc_sharder, env=env, device=device)


def managed_bags(configs: list[EmbeddingBagConfig], owners: list[Table], device: torch.device | None) -> nn.Module:
    """Tables and the rows of their ids; each config has one feature, and its owner says who makes room."""
    rows = {
        config.name: RowsOfIds(
            name=config.name,
            zch_size=config.num_embeddings,
            device=torch.device("cpu") if device is None or device.type == "meta" else device,
            eviction_policy=POLICIES[owner.eviction or ""](),
            eviction_interval=owner.eviction_every,
            input_hash_size=MANAGED_IDS,
        )
        for config, owner in zip(configs, owners, strict=True)
    }
    return ManagedCollisionEmbeddingBagCollection(EmbeddingBagCollection(configs, device=device), ManagedCollisionCollection(rows, configs))


def divide_over(model: nn.Module, ranks: int) -> None:
    """Tell the modules that have not been sharded yet over how many ranks their ids will be divided."""
    for module in model.modules():
        if isinstance(module, RowsOfIds):
            module._buckets = ranks


def contest(model: nn.Module) -> None:
    """Let all ids that wait contend for their rows, so that a checkpoint holds everything."""
    for module in model.modules():
        if isinstance(module, _Sharded):
            module.contest()
