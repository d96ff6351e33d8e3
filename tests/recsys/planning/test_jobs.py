"""Dry runs against real jobs of 1, 2 and 4 ranks: the plan, the memory that is held, what goes over the wire."""

from __future__ import annotations

import inspect
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
import yaml
from job_cases import DEMO
from torch import Tensor
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec import KeyedJaggedTensor
from torchrec.distributed.model_parallel import DistributedModelParallel

import emtl
from recsys.config import Config
from recsys.config_file import load_config
from recsys.data.batch import Batch
from recsys.data.features.feature import Slot
from recsys.data.layout import Layout, layout
from recsys.distributed import World, devices_of, plan_table, process_group, wrap
from recsys.models.model import build_model
from recsys.models.tasks import label_weight, task_losses
from recsys.planning.estimate import estimate
from recsys.training.optimizers import Optimizers

CASES: dict[str, dict[str, Any]] = {
    "table": {"default": "table_wise"},
    "row": {"default": "row_wise"},
    "column": {"default": "column_wise"},
    "auto": {"default": "auto", "tables": {"tags": "column_wise"}},
}
MANAGED = {"name": "visitor", "column": "user_id", "kind": "id", "buckets": 700, "encoding": "managed", "eviction": "lfu", "dimension": 8}
SIZES = [1, 2, pytest.param(4, marks=pytest.mark.slow)]


def make_config(folder: Path, sharding: dict[str, Any]) -> Config:
    document = yaml.safe_load(DEMO.read_text())
    document["features"].append(MANAGED)
    document["train"]["sharding"] = sharding
    path = folder / f"{sharding['default']}.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_config(path, ["data.batch_size=512", "run.name=planned"])


def longest_batch(own: Layout, tasks: int, rows: int, rank: int) -> Batch:
    """Rows whose lists are all as long as they may be."""
    generator = torch.Generator().manual_seed(rank)

    def part(slots: list[Slot]) -> KeyedJaggedTensor | None:
        sizes = [slot.max_length or 1 for slot in slots]
        values = [
            torch.randint(0, own.tables[slot.table].rows, (rows * size,), generator=generator)
            for slot, size in zip(slots, sizes, strict=True)
        ]
        lengths = [torch.full((rows,), size, dtype=torch.int32) for size in sizes]
        return KeyedJaggedTensor.from_lengths_sync([slot.key for slot in slots], torch.cat(values), torch.cat(lengths)) if slots else None

    labels = torch.ones(rows, tasks)
    dense, weights = torch.zeros(rows, own.width), torch.ones(rows)
    return Batch(part(own.pooled), part(own.unpooled), dense, labels, labels.bool(), weights, part(own.weighted), part(own.managed))


def held(model: DistributedModelParallel) -> dict[str, int]:
    """Bytes of this rank's tables, of their optimizer's state, and of the ids that have rows of managed ones."""
    states = model.fused_optimizer.state_dict()["state"].values()
    optimizer = [value for state in states for value in state.values()]
    model_state = model.state_dict().values()
    return {
        "tables": sum(map(local_bytes, (value for value in model_state if value.dtype.is_floating_point))),
        "optimizer": sum(map(local_bytes, optimizer)),
        "ids": sum(map(local_bytes, (value for value in model_state if not value.dtype.is_floating_point))),
    }


def local_bytes(value: Any) -> int:
    """Bytes of the shards of a sharded tensor that are on this rank; 0 for anything else."""
    shards = value.local_shards() if isinstance(value, ShardedTensor) else []
    return sum(shard.tensor.numel() * shard.tensor.element_size() for shard in shards)


def peak(step: Callable[[], None]) -> int:
    """The most bytes that a step holds at once beyond what there was before it, as PyTorch's profiler sees its allocator."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


class Wire:
    """Counts the bytes that this rank exchanges with others for the tables: ids that come in, embeddings that go out, gradients that
    come back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, world: World) -> None:
        self.world = world
        self.bytes = {"ids": 0, "embeddings": 0, "gradients": 0}
        for name in ("all_to_all_single", "reduce_scatter_tensor", "all_gather_into_tensor"):
            monkeypatch.setattr(dist, name, self.counting(getattr(dist, name)))

    def counting(self, collective: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(collective)

        def counted(*arguments: Any, **named: Any) -> Any:
            given = signature.bind(*arguments, **named).arguments
            incoming, outgoing = (given.get(name, given.get(f"{name}_tensor")) for name in ("output", "input"))
            backward = torch._C._current_graph_task_id() != -1
            if not incoming.dtype.is_floating_point:
                self.bytes["ids"] += self.of_others(incoming, given.get("output_split_sizes"))
            elif backward:
                self.bytes["gradients"] += self.of_others(incoming, given.get("output_split_sizes"))
            else:
                self.bytes["embeddings"] += self.of_others(outgoing, given.get("input_split_sizes"))
            return collective(*arguments, **named)

        return counted

    def of_others(self, tensor: Tensor, splits: list[int] | None) -> int:
        """Bytes without this rank's own part."""
        own = splits[self.world.rank] / max(1, sum(splits)) if splits else 1 / self.world.size
        return round(tensor.numel() * tensor.element_size() * (1 - own))


def measure(config: Config, world: World) -> dict[str, Any]:
    """The plan of a real job, and what this rank holds in a step and is sent in it, beside the dry run's."""
    own, tasks, rows = layout(config.features), len(config.tasks), config.data.batch_size // world.size
    found = estimate(config, devices_of(world))
    balancer = emtl.Balancer(emtl.create("emtl", tasks), process_group=world.balancer, observe=True)
    bare = build_model(own, config.tasks, config.model, balancer.fork, torch.device("meta"))
    model = wrap(bare, world, config.train.sharding, config.train.sparse, 0, rows, found.kept)
    optimizers, batch = Optimizers(model, config.train, 10), longest_batch(own, tasks, rows, world.rank)

    def step() -> None:
        total = label_weight(batch, world.group)
        balancer.total(task_losses(model(batch), batch, config.tasks, total.wait(), world.size)).backward()
        optimizers.step()

    step()
    with pytest.MonkeyPatch.context() as monkeypatch:
        wire = Wire(monkeypatch, world)
        step()
    told = {part: int(values[world.rank]) for part, values in found.memory.items()}
    traffic = {kind: int(values[world.rank]) for kind, values in found.traffic.items()}
    dry = found.to_json()["tables"]
    in_step = told["lookups"] + told["activations"] + found.dense.weights  # the gradients; values and moments are there before
    return {
        "plan": [plan_table(model.plan), dry],
        "held": [held(model), {part: told[part] for part in ("tables", "optimizer", "ids")}],
        "peak": [peak(step), in_step],
        "wire": [wire.bytes, traffic],
    }


def worker(rank: int, size: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank % 2), LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with process_group(timeout=120) as world:
        for name, sharding in CASES.items():
            measured = measure(make_config(Path(folder) / str(rank), sharding), world)
            (Path(folder) / f"{name}-{rank}.json").write_text(json.dumps(measured))


Measured = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module", params=SIZES)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """case -> what each rank of a number of ranks measured."""
    folder, size = tmp_path_factory.mktemp("jobs"), request.param
    for rank in range(size):
        (folder / str(rank)).mkdir()
    if size == 1:
        with process_group() as world:
            return {name: [measure(make_config(folder, sharding), world)] for name, sharding in CASES.items()}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(worker, (size, port, str(folder)), nprocs=size)
    return {name: [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in range(size)] for name in CASES}


cases = pytest.mark.parametrize("name", CASES)


@cases
def test_the_plan_is_the_one_that_a_job_gets(measured: Measured, name: str) -> None:
    for rank in measured[name]:
        job, dry = rank["plan"]
        assert dry == job
        assert {"visitor", "user_id", "history/history_click"} <= {row["table"] for row in dry}


@cases
def test_tables_and_their_optimizer_take_what_was_told(measured: Measured, name: str) -> None:
    for rank in measured[name]:
        real, told = rank["held"]
        assert told == real


@cases
def test_a_step_holds_no_more_than_was_told_and_not_much_less(measured: Measured, name: str) -> None:
    """Beside what gloo's threads have sent and not let go of yet: no more than a step's messages."""
    for rank in measured[name]:
        real, told = rank["peak"]
        sent = sum(rank["wire"][1].values())
        assert 0.6 * told <= real <= told + sent


@cases
def test_ids_and_embeddings_on_the_wire(measured: Measured, name: str) -> None:
    """Whole tables and columns to the byte; rows as evenly as random ids lie on them. A few numbers tell how many ids will come."""
    for rank in measured[name]:
        real, told = rank["wire"]
        for kind in real:
            assert real[kind] == pytest.approx(told[kind], rel=0.05, abs=2500)
        if name in ("table", "column"):  # the managed table, which is divided by rows, sums up its parts in the same way
            assert (real["embeddings"], real["gradients"]) == (told["embeddings"], told["gradients"])
