"""Which rank holds which part of each table: TorchRec's enumeration, estimates and partitioner, quick enough for a thousand ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn
from torchrec.distributed import ModuleSharder
from torchrec.distributed.planner import Topology
from torchrec.distributed.planner.enumerators import EmbeddingEnumerator
from torchrec.distributed.planner.partitioners import GreedyPerfPartitioner
from torchrec.distributed.planner.perf_models import NoopPerfModel
from torchrec.distributed.planner.shard_estimators import EmbeddingPerfEstimator, EmbeddingStorageEstimator
from torchrec.distributed.planner.types import (
    ParameterConstraints,
    PlannerError,
    Shard,
    ShardEstimator,
    ShardingOption,
    Storage,
)
from torchrec.distributed.planner.utils import reset_shard_rank
from torchrec.modules.mc_embedding_modules import ManagedCollisionEmbeddingBagCollection

from recsys.config import ShardingConfig
from recsys.planning.devices import Devices
from recsys.planning.sharding import make_constraints

STATE = 4  # bytes that row-wise Adagrad keeps for each row of a shard
UNLIMITED = 1 << 60


class Options:
    """The ways in which each table of a model may be sharded, with TorchRec's estimates of each."""

    def __init__(self, model: nn.Module, sharders: Sequence[ModuleSharder], sharding: ShardingConfig, devices: Devices, rows: int) -> None:
        """rows: of a batch, on each rank. The model's tables may be on the meta device. Raises InputError as `make_constraints` does."""
        self.devices = devices
        topology, constraints = topology_of(devices), make_constraints(model, sharding, devices.ranks)
        estimator = _Estimator(topology, constraints)
        enumerator = EmbeddingEnumerator(topology, rows, constraints, estimator)
        self._by_table: dict[str, dict[str, ShardingOption]] = {}
        for option in enumerator.enumerate(model, list(sharders)):
            self._by_table.setdefault(option.fqn, {})[option.sharding_type] = option

    def place(self, kept: int = 0) -> list[ShardingOption]:
        """One way for each table, with a rank for each shard: the fastest, by TorchRec's estimate, of those that fit beside `kept` bytes.

        Raises PlannerError when none fits.
        """
        topology, error = topology_of(self.devices, kept), None
        rated: list[tuple[float, int]] = []
        proposals = self._proposals(topology)
        for number, proposal in enumerate(proposals):
            if len(proposals) == 1:
                return _placed(proposal, topology)
            try:
                rated.append((NoopPerfModel(topology).rate(_placed(proposal, topology)), number))
            except PlannerError as refused:
                error = refused
        if not rated:
            assert error is not None
            raise error
        return _placed(proposals[min(rated)[1]], topology)

    def place_anyway(self) -> list[ShardingOption]:
        """The way that takes least of the largest rank, as if memory had no end."""
        topology = topology_of(replace(self.devices, memory=None))
        return _placed(self._proposals(topology)[-1], topology)

    def _proposals(self, topology: Topology) -> list[list[ShardingOption]]:
        """Where a choice is left, the largest 0, 1, 2, 4, ... tables by rows and the others whole; those too large for a rank always."""
        free = topology.devices[0].storage
        choice = [name for name, ways in self._by_table.items() if len(ways) > 1]
        choice.sort(key=lambda name: (-_bytes(self._by_table[name]["table_wise"].total_storage), name))
        divided = sum(not self._by_table[name]["table_wise"].total_storage.fits_in(free) for name in choice)
        return [
            [
                ways["row_wise" if name in choice[:number] else "table_wise"] if len(ways) > 1 else next(iter(ways.values()))
                for name, ways in self._by_table.items()
            ]
            for number in _doubling(divided, len(choice))
        ]


def topology_of(devices: Devices, kept: int = 0) -> Topology:
    """TorchRec's description of the ranks, with the memory that is left for tables beside `kept` bytes."""
    free = UNLIMITED if devices.limit is None else max(0, devices.limit - kept)
    return Topology(devices.ranks, devices.kind, hbm_cap=free, ddr_cap=free, local_world_size=devices.local)


def _doubling(first: int, last: int) -> Iterator[int]:
    """first, and first + 1, 2, 4, ... below last, and last."""
    step, number = 1, first
    while number < last:
        yield number
        number, step = first + step, 2 * step
    yield last


def _placed(proposal: list[ShardingOption], topology: Topology) -> list[ShardingOption]:
    reset_shard_rank(proposal)
    return GreedyPerfPartitioner().partition(proposal, topology) if proposal else []


def _bytes(storage: Storage) -> int:
    return storage.hbm + storage.ddr


class _Shards(list[Shard]):
    """Shards that share their estimates; the enumerator keeps a deep copy of all options, which would take seconds."""

    def __deepcopy__(self, memo: Any) -> _Shards:
        return _Shards(Shard(shard.size, shard.offset, shard.storage, shard.perf, shard.rank) for shard in self)


class _Estimator(ShardEstimator):
    """TorchRec's estimates, with two changes.

    They are made once for all shards of a size: TorchRec takes a millisecond for each of the thousands of shards of large jobs. And they
    hold what is kept for each row beside its values: TorchRec counts the optimizer's state only where the optimizer is attached to the
    parameter itself, and for a shard of columns too low; the rows of managed ids it doesn't count.
    """

    def __init__(self, topology: Topology, constraints: dict[str, ParameterConstraints]) -> None:
        self._estimators = [EmbeddingPerfEstimator(topology, constraints), EmbeddingStorageEstimator(topology, constraints)]
        self._in_hbm = topology.compute_device == "cuda"

    def estimate(self, sharding_options: list[ShardingOption], sharder_data_map: Any = None) -> None:
        whole = [option.shards for option in sharding_options]
        for option in sharding_options:
            option.shards = list({tuple(shard.size): shard for shard in option.shards}.values())
        for estimator in self._estimators:
            estimator.estimate(sharding_options, sharder_data_map)
        for option, shards in zip(sharding_options, whole, strict=True):
            known = {tuple(shard.size): (self._with_state(option, shard), shard.perf) for shard in option.shards}
            for shard in shards:
                shard.storage, shard.perf = known[tuple(shard.size)]
            option.shards = _Shards(shards)

    def _with_state(self, option: ShardingOption, shard: Shard) -> Storage:
        state = shard.size[0] * (STATE + bytes_of_ids(option))
        return shard.storage + (Storage(hbm=state, ddr=0) if self._in_hbm else Storage(hbm=0, ddr=state))


def bytes_of_ids(option: ShardingOption) -> int:
    """Bytes that are kept for each row of a managed table to know whose it is; 0 for others."""
    _, module = option.module
    if not isinstance(module, ManagedCollisionEmbeddingBagCollection):
        return 0
    rows = module._managed_collision_collection._managed_collision_modules[option.name]
    return 8 * (2 + len(rows._mch_metadata))
