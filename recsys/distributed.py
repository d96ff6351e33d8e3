"""Processes, and how a model is laid over them: process groups, sharding plan, fused table optimizer, the start of the tables."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from fbgemm_gpu.split_embedding_configs import EmbOptimType
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec.distributed import DistributedModelParallel, ModuleSharder
from torchrec.distributed.embedding import EmbeddingCollectionSharder
from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
from torchrec.distributed.model_parallel import DefaultDataParallelWrapper
from torchrec.distributed.planner import EmbeddingShardingPlanner, Topology
from torchrec.distributed.planner.types import ParameterConstraints
from torchrec.distributed.types import ShardingPlan
from torchrec.distributed.utils import none_throws

from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.data.features.feature import TableSpec
from recsys.errors import InputError
from recsys.memory import keep_freed_memory
from recsys.models.embeddings import Embeddings
from recsys.models.managed import START, ManagedSharder, divide_over

# What TorchRec says at every start about its own use of PyTorch is nothing that a person could mend.
for _logger in ("torchrec", "torch.fx._symbolic_trace"):
    logging.getLogger(_logger).setLevel(logging.ERROR)
for _message in ("HeuristicalStorageReservation is known", "`broadcast_buffers` is deprecated", "Please use DTensor"):
    warnings.filterwarnings("ignore", _message, FutureWarning)

BLOCK = 1024  # rows of a table that one random generator fills


@dataclass(frozen=True)
class World:
    """This process among its peers. `balancer` is a group of its own, so that its messages can't get between those of DDP."""

    rank: int
    size: int
    local_size: int
    device: torch.device
    group: dist.ProcessGroup
    balancer: dist.ProcessGroup


@contextmanager
def process_group(timeout: float = 600.0) -> Iterator[World]:
    """The process groups of this job: those that torchrun's environment describes, or this process alone.

    NCCL where there is a GPU, else gloo. timeout: seconds that a rank waits for another one before it gives up. Raises InputError where the
    environment names a network interface for gloo that isn't there.
    """
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else torch.device("cpu")
    keep_freed_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "gloo":
        _check_interfaces("GLOO_SOCKET_IFNAME")
    limit = timedelta(seconds=timeout)
    if "RANK" in os.environ:
        dist.init_process_group(backend, init_method="env://", timeout=limit)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=limit)
    try:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
        balancer = dist.new_group(timeout=limit)
        yield World(dist.get_rank(), dist.get_world_size(), local, device, none_throws(dist.group.WORLD), balancer)
    finally:
        dist.destroy_process_group()


def _check_interfaces(variable: str) -> None:
    known = [name for _, name in socket.if_nameindex()]
    for name in filter(None, os.environ.get(variable, "").split(",")):
        if name not in known:
            raise InputError(f"{variable}={name}: this machine has no such network interface; it has {', '.join(known)}")


def wrap(
    model: nn.Module, world: World, sharding: ShardingConfig, sparse: SparseOptimizerConfig, seed: int, batch_size: int
) -> DistributedModelParallel:
    """The model with its tables sharded and updated inside the backward pass, and all else replicated by DDP.

    batch_size: rows a rank and step, by which the planner estimates. The tables' values come from `seed`, whatever the plan.
    Raises InputError when `sharding.tables` names a table that the model doesn't have.
    """
    sharders = _sharders(sparse)
    divide_over(model, world.size)
    plan = make_plan(model, world, sharding, batch_size, sharders)
    wrapped = DistributedModelParallel(
        model,
        device=world.device,
        plan=plan,
        sharders=sharders,
        # A static graph makes dense gradients wrong, in silence, once autograd.grad is called a task on the same graph.
        data_parallel_wrapper=DefaultDataParallelWrapper(static_graph=False),
    )
    initialise_tables(wrapped, seed)
    return wrapped


def make_plan(model: nn.Module, world: World, sharding: ShardingConfig, batch_size: int, sharders: list[ModuleSharder]) -> ShardingPlan:
    """Which rank holds which part of each table: the same on every rank. Raises InputError for an unknown table."""
    topology = Topology(world_size=world.size, local_world_size=min(world.local_size, world.size), compute_device=world.device.type)
    constraints = _constraints(model, sharding, world)
    planner = EmbeddingShardingPlanner(topology=topology, batch_size=batch_size, constraints=constraints)
    return planner.collective_plan(model, sharders, world.group)


def plan_table(plan: ShardingPlan) -> list[dict[str, Any]]:
    """One row a table, fit for JSON: table, module, sharding, kernel, ranks, rows, dimension, bytes of the values."""
    table = []
    for module, parameters in plan.plan.items():
        for name, parameter in parameters.items():
            shards = parameter.sharding_spec.shards
            rows, dimension = (max(shard.shard_offsets[axis] + shard.shard_sizes[axis] for shard in shards) for axis in (0, 1))
            row = {"table": name, "module": module, "sharding": parameter.sharding_type, "kernel": parameter.compute_kernel}
            table.append(row | {"ranks": parameter.ranks, "rows": rows, "dimension": dimension, "bytes": 4 * rows * dimension})
    return sorted(table, key=lambda row: (row["module"], row["table"]))


def set_table_learning_rate(model: DistributedModelParallel, learning_rate: float) -> None:
    """The learning rate of the tables' fused optimizer from the next backward pass on."""
    for group in model.fused_optimizer.param_groups:
        group["lr"] = learning_rate
    model.fused_optimizer.step()  # updates nothing: it hands the rate to the kernels


@torch.no_grad()
def initialise_tables(model: nn.Module, seed: int) -> None:
    """Draws all tables, sharded or not, normal with deviation START.

    Every block of rows has a random generator of its own, seeded by (seed, table, block), so that the values depend neither on the
    plan nor on the number of ranks. TorchRec's own start does.
    """
    for key, value in model.state_dict().items():
        if found := re.search(r"\.(?:embedding_bags|embeddings)\.([^.]+)\.weight$", key):
            for offsets, local in _local_parts(value):
                _fill(local, found[1], offsets, value.shape[1], seed)


def _local_parts(value: Tensor) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """((row, column) of its corner, values) of each part of a table that this rank holds."""
    if not isinstance(value, ShardedTensor):
        yield (0, 0), value
        return
    for shard in value.local_shards():
        row, column = shard.metadata.shard_offsets
        yield (row, column), shard.tensor


def _fill(local: Tensor, table: str, offsets: tuple[int, int], dimension: int, seed: int) -> None:
    first, column = offsets
    last = first + local.shape[0]
    for block in range(first // BLOCK, -(-last // BLOCK)):
        start = block * BLOCK
        digest = hashlib.blake2b(f"{seed}/{table}/{block}".encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
        values = torch.empty(BLOCK, dimension).normal_(0, START, generator=generator)
        low, high = max(first, start), min(last, start + BLOCK)
        local[low - first : high - first].copy_(values[low - start : high - start, column : column + local.shape[1]])


class _BagSharder(EmbeddingBagCollectionSharder):
    """Row-wise on CPUs too, where TorchRec hides it although it is exact."""

    def sharding_types(self, compute_device_type: str) -> list[str]:
        return ["table_wise", "row_wise", "column_wise"]


class _ItemSharder(EmbeddingCollectionSharder):
    def sharding_types(self, compute_device_type: str) -> list[str]:
        return ["table_wise", "row_wise", "column_wise"]


def _sharders(sparse: SparseOptimizerConfig) -> list[ModuleSharder]:
    """Sharders whose tables are updated by row-wise Adagrad; each with a dictionary of its own, because TorchRec changes them."""

    def fused() -> dict[str, Any]:
        return {"optimizer": EmbOptimType.EXACT_ROWWISE_ADAGRAD, "learning_rate": sparse.learning_rate, "eps": sparse.epsilon}

    return [_BagSharder(fused()), _ItemSharder(fused()), ManagedSharder(_BagSharder(fused()))]


def _constraints(model: nn.Module, sharding: ShardingConfig, world: World) -> dict[str, ParameterConstraints]:
    """What the planner may do with each table: never data-parallel, which would take it out of the fused optimizer."""
    tables = {name: spec for module in model.modules() if isinstance(module, Embeddings) for name, spec in module.tables.items()}
    known = sorted({spec.name for spec in tables.values()})
    for name in sharding.tables:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0) or ["none"]
            raise InputError(f"train.sharding.tables: there is no table {name!r}; the nearest is {near[0]!r}")
    for spec in tables.values():
        if _is_managed(spec) and sharding.tables.get(spec.name, "row_wise") != "row_wise":
            raise InputError(f"train.sharding.tables: the table {spec.name!r} is managed and can only be divided row_wise")
    return {
        name: ParameterConstraints(
            sharding_types=["row_wise" if _is_managed(spec) else sharding.tables.get(spec.name, sharding.default)],
            compute_kernels=["fused"],
            min_partition=max(4, spec.dimension // world.size // 4 * 4),
        )
        for name, spec in tables.items()
    }


def _is_managed(spec: TableSpec) -> bool:
    return getattr(spec.owner, "encoding", None) == "managed"
