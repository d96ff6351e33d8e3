"""Processes, and how a model is laid over them: process groups, sharding plan, fused table optimizer, the start of the tables."""

from __future__ import annotations

import hashlib
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint.api import CheckpointException
from torchrec.distributed import DistributedModelParallel, ModuleSharder
from torchrec.distributed.model_parallel import DefaultDataParallelWrapper
from torchrec.distributed.planner.planners import to_sharding_plan
from torchrec.distributed.planner.types import PlannerError
from torchrec.distributed.types import ShardingPlan
from torchrec.distributed.utils import none_throws

from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.errors import InputError
from recsys.memory import keep_freed_memory
from recsys.models.managed import START, divide_over
from recsys.network import check_network, explain
from recsys.planning.devices import Devices, machine_memory
from recsys.planning.load import table_row
from recsys.planning.planner import Options, topology_of
from recsys.planning.sharding import make_sharders

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

    NCCL where there is a GPU, else gloo. timeout: seconds that a rank waits for another one before it gives up.
    Raises PeerLost, in the place of what gloo says, when the others can't be heard any more; InputError for a network that isn't set up.
    """
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else torch.device("cpu")
    keep_freed_memory()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if backend == "gloo":
        check_network()
    limit = timedelta(seconds=timeout)
    try:
        if "RANK" in os.environ:
            dist.init_process_group(backend, init_method="env://", timeout=limit)
        else:
            dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1, timeout=limit)
        local = int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
        balancer = dist.new_group(timeout=limit)
        yield World(dist.get_rank(), dist.get_world_size(), local, device, none_throws(dist.group.WORLD), balancer)
    except (RuntimeError, CheckpointException) as error:
        meaning = explain(error, timeout)
        if meaning is None:
            raise
        raise meaning from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def wrap(
    model: nn.Module,
    world: World,
    sharding: ShardingConfig,
    sparse: SparseOptimizerConfig,
    seed: int,
    batch_size: int,
    kept: int = 0,
) -> DistributedModelParallel:
    """The model with its tables sharded and updated inside the backward pass, and all else replicated by DDP.

    batch_size: rows a rank and step, by which the planner estimates. kept: bytes of a rank's memory that all else takes, as rank 0
    knows. The tables' values come from `seed`, whatever the plan.
    Raises InputError when `sharding.tables` names a table that the model doesn't have, or the tables don't fit.
    """
    sharders = make_sharders(sparse)
    divide_over(model, world.size)
    plan = make_plan(model, world, sharding, batch_size, sharders, kept)
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


def devices_of(world: World) -> Devices:
    """The ranks of this job, each with the memory that this one has."""
    local = math.gcd(world.local_size, world.size)
    cuda = world.device.type == "cuda"
    memory = torch.cuda.get_device_properties(world.device).total_memory if cuda else machine_memory() // local
    return Devices(world.size, local, world.device.type, memory)


def make_plan(
    model: nn.Module, world: World, sharding: ShardingConfig, batch_size: int, sharders: list[ModuleSharder], kept: int = 0
) -> ShardingPlan:
    """Which rank holds which part of each table, made on rank 0. Collective. Raises InputError on every rank."""
    found: list[ShardingPlan | InputError | None] = [None]
    if world.rank == 0:
        devices = devices_of(world)
        try:
            options = Options(model, sharders, sharding, devices, batch_size)
            found = [to_sharding_plan(options.place(kept), topology_of(devices))]
        except InputError as error:
            found = [error]
        except PlannerError as error:
            told = "the tables don't fit into the ranks' memory; `recsys plan` shows what each takes and what to change"
            found = [InputError(f"train.sharding: {told} ({str(error).partition(chr(10))[0]})")]
    dist.broadcast_object_list(found, src=0, group=world.group)
    if isinstance(found[0], InputError):
        raise found[0]
    return none_throws(found[0])


def plan_table(plan: ShardingPlan) -> list[dict[str, Any]]:
    """One row a table, fit for JSON: table, module, sharding, kernel, ranks, rows, dimension, bytes of the values."""
    table = []
    for module, parameters in plan.plan.items():
        for name, parameter in parameters.items():
            shards = parameter.sharding_spec.shards
            rows, dimension = (max(shard.shard_offsets[axis] + shard.shard_sizes[axis] for shard in shards) for axis in (0, 1))
            how = parameter.sharding_type, parameter.compute_kernel, parameter.ranks
            table.append(table_row(module, name, *how, rows, dimension))
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
