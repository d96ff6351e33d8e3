"""A sharding dry run: a job's plan on some ranks, what each would hold, and whether that fits. Nothing is allocated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchrec.distributed.planner.types import PlannerError, ShardingOption

from recsys.config import Config
from recsys.data.layout import Layout, layout
from recsys.data.plan import owned_streams
from recsys.models.managed import divide_over
from recsys.models.model import build_model
from recsys.planning.dense import DenseMemory, batch_memory, dense_memory
from recsys.planning.devices import Devices
from recsys.planning.load import PARTS, Bytes, Load, load_of, table_rows
from recsys.planning.planner import Options
from recsys.planning.sharding import make_sharders


@dataclass(frozen=True)
class Estimate:
    """A plan for some ranks and what it means for each of them.

    kept: bytes of each rank's memory that are not for tables. fits: whether every rank stays below the limit; None where there is none.
    """

    devices: Devices
    plan: list[ShardingOption]
    load: Load
    dense: DenseMemory
    batches: int
    fits: bool | None

    @property
    def kept(self) -> int:
        """Bytes on every rank beside the tables, their optimizer and their lookups."""
        return self.dense.parameters + self.dense.activations + self.batches

    @property
    def memory(self) -> dict[str, Bytes]:
        """(W,) bytes of each rank, by part."""
        same = {"dense": self.dense.parameters, "activations": self.dense.activations, "batches": self.batches}
        everywhere = {part: np.full(self.devices.ranks, size) for part, size in same.items()}
        return {part: (self.load.memory | everywhere)[part] for part in PARTS}

    @property
    def total(self) -> Bytes:
        """(W,) bytes of each rank."""
        return np.sum(list(self.memory.values()), axis=0)

    @property
    def traffic(self) -> dict[str, Bytes]:
        """(W,) bytes a step of each rank to or from others, by kind; `dense` is its part of a ring's all-reduce."""
        ranks = self.devices.ranks
        dense = np.full(ranks, 2 * (ranks - 1) * self.dense.weights // ranks)
        return self.load.traffic | {"dense": dense}

    def to_json(self) -> dict[str, Any]:
        """Everything, fit for JSON."""
        memory, devices = self.memory | {"total": self.total}, self.devices
        return {
            "world_size": devices.ranks,
            "local_world_size": devices.local,
            "device": devices.kind,
            "device_memory": devices.memory,
            "limit": devices.limit,
            "fits": self.fits,
            "tables": table_rows(self.plan),
            "memory_per_rank": {part: spread(values) for part, values in memory.items()},
            "traffic_per_step": {kind: spread(values) for kind, values in self.traffic.items()},
            "lookups_per_step": spread(self.load.lookups),
            "ranks": [{part: int(values[rank]) for part, values in memory.items()} for rank in range(devices.ranks)],
        }

    def metrics(self) -> dict[str, float]:
        """What compares runs: bytes of the largest rank, and how much more that is than their mean."""
        total, tables, traffic = self.total, self.load.memory["tables"], np.sum(list(self.traffic.values()), axis=0)
        return {
            "plan/memory_largest": float(total.max()),
            "plan/memory_imbalance": spread(total)["imbalance"],
            "plan/tables_largest": float(tables.max()),
            "plan/lookups_imbalance": spread(self.load.lookups)["imbalance"],
            "plan/traffic_largest": float(traffic.max()),
        }


def spread(values: NDArray[Any]) -> dict[str, float]:
    """min, mean and max over the ranks; `imbalance` is max / mean, 1 where all is equal."""
    mean = float(values.mean())
    return {"min": float(values.min()), "mean": mean, "max": float(values.max()), "imbalance": float(values.max()) / mean if mean else 1.0}


def estimate(config: Config, devices: Devices) -> Estimate:
    """The plan that the job would have on these ranks. Raises InputError where it couldn't run on so many."""
    owned_streams(config.data.streams, 0, devices.ranks)
    rows, features = config.data.batch_size // devices.ranks, layout(config.features)
    dense, batches = dense_memory(config, features, rows), batches_memory(config, features, devices, rows)
    return place(config, features, devices, dense, batches)


def place(config: Config, features: Layout, devices: Devices, dense: DenseMemory, batches: int) -> Estimate:
    """The plan and its load; where none fits, the one that would be if there were memory enough."""
    kept, rows = dense.parameters + dense.activations + batches, config.data.batch_size // devices.ranks
    model = _without_memory(config, features, devices.ranks)
    options = Options(model, make_sharders(config.train.sparse), config.train.sharding, devices, rows)
    try:
        plan, placed = options.place(kept), True
    except PlannerError:
        plan, placed = options.place_anyway(), False
    load = load_of(plan, devices.ranks, rows)
    if devices.limit is None:
        return Estimate(devices, plan, load, dense, batches, None)
    return Estimate(devices, plan, load, dense, batches, placed and kept <= devices.limit)


def _without_memory(config: Config, features: Layout, ranks: int) -> nn.Module:
    with FakeTensorMode():
        model = build_model(features, config.tasks, config.model, table_device=torch.device("meta"))
    divide_over(model, ranks)
    return model


def batches_memory(config: Config, features: Layout, devices: Devices, rows: int) -> int:
    """Bytes of the batches that a rank holds: the one in use and the next, on a CPU also those that wait."""
    waiting = config.data.prefetch if devices.kind == "cpu" else 0
    return batch_memory(config, features, (2 + waiting) * rows)
