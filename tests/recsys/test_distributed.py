"""Sharded training against the same model in plain PyTorch, on one process and on two."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from model_cases import make_batch, make_layout, make_model_config, make_tasks
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torchrec.optim.optimizers import in_backward_optimizer_filter

import emtl
from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.distributed import World, initialise_tables, plan_table, process_group, set_table_learning_rate, wrap
from recsys.errors import InputError
from recsys.models.model import build_model
from recsys.models.tasks import label_weight, task_losses

ROWS, SEED, EPSILON = 12, 7, 1e-4
RATES = [0.1, 0.02, 0.0]  # of the tables, one a step
META = torch.device("meta")
PLANS = {
    "table": ShardingConfig(default="table_wise"),
    "row": ShardingConfig(default="row_wise"),
    "column": ShardingConfig(default="column_wise"),
    "mixed": ShardingConfig(
        default="table_wise", tables={"user": "row_wise", "brand": "row_wise", "topics": "row_wise", "history.hour": "row_wise"}
    ),
}
# Row-wise Adagrad keeps one number a row of a shard, so that a table split by columns learns in another way, rightly.
EXACT = ["table", "row", "mixed"]
CASES = [("mmoe", plan, None) for plan in PLANS] + [
    ("ple", "mixed", None),
    ("shared_bottom", "row", None),
    ("single", "mixed", None),
    ("mmoe", "mixed", "representation"),
    ("ple", "row", "representation"),
    ("ple", "mixed", "parameters"),
]
Result = dict[str, Any]


def dense_optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.01, eps=1e-3)


def shards(model: nn.Module) -> dict[str, list[tuple[list[int], Tensor]]]:
    """name -> (corner, values) of what this rank holds."""
    found: dict[str, list[tuple[list[int], Tensor]]] = {}
    for name, value in model.state_dict().items():
        if isinstance(value, ShardedTensor):
            found[name] = [(list(shard.metadata.shard_offsets), shard.tensor.clone()) for shard in value.local_shards()]
        else:
            found[name] = [([0] * value.dim(), value.clone())]
    return found


def whole(parts: list[tuple[list[int], Tensor]]) -> Tensor:
    """The tensor that the shards of all ranks make up; those that several ranks hold must agree."""
    corner, first = parts[0]
    shape = [max(offsets[axis] + part.shape[axis] for offsets, part in parts) for axis in range(len(corner))]
    full = torch.full(shape, torch.nan, dtype=first.dtype)
    for offsets, part in parts:
        window = full[tuple(slice(start, start + length) for start, length in zip(offsets, part.shape, strict=True))]
        assert window.isnan().all() or torch.equal(window, part)
        window.copy_(part)
    assert not full.isnan().any()
    return full


def train(world: World, architecture: str, plan: str, scope: str | None) -> Result:
    """Three steps of this rank's rows, with a learning rate of the tables that changes."""
    own, tasks = make_layout(), make_tasks()
    balancer = emtl.Balancer(emtl.create("emtl", num_tasks=3), scope, world.balancer) if scope else None
    torch.manual_seed(SEED + world.rank)  # DDP makes all ranks start as the first one
    bare = build_model(own, tasks, make_model_config(architecture), balancer.fork if balancer else None, META)
    model = wrap(bare, world, PLANS[plan], SparseOptimizerConfig(learning_rate=9.0, epsilon=EPSILON), SEED, ROWS)
    dense = dense_optimizer(list(dict(in_backward_optimizer_filter(model.named_parameters())).values()))
    result: Result = {"start": shards(model), "plan": plan_table(model.plan), "outputs": [], "losses": []}
    share = ROWS // world.size
    for step, rate in enumerate(RATES):
        set_table_learning_rate(model, rate)
        batch = make_batch(own, ROWS, step, slice(world.rank * share, (world.rank + 1) * share))
        total = label_weight(batch, world.group)
        outputs = model(batch)
        losses = task_losses(outputs, batch, tasks, total.wait(), world.size)
        shared = (bare.shared_parameters(), bare.shared_activations()) if scope == "parameters" else ()
        (balancer.total(losses, *shared) if balancer else losses.sum()).backward()
        dense.step()
        dense.zero_grad()
        result["outputs"].append(outputs.detach())
        result["losses"].append(losses.detach())
        if step == 1:
            result["tables"] = {name: parts for name, parts in shards(model).items() if "embedding" in name}
    return result | {"end": shards(model)}


def merge(ranks: list[Result]) -> Result:
    """One result from those of all ranks."""
    states = {
        part: {name: whole([own for rank in ranks for own in rank[part][name]]) for name in ranks[0][part]}
        for part in ("start", "end", "tables")
    }
    return {
        **states,
        "plan": ranks[0]["plan"],
        "outputs": [torch.cat(outputs) for outputs in zip(*(rank["outputs"] for rank in ranks), strict=True)],
        "losses": [torch.stack(losses).mean(dim=0) for losses in zip(*(rank["losses"] for rank in ranks), strict=True)],
    }


def worker(rank: int, size: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with process_group(timeout=60) as world:
        assert (world.rank, world.size) == (rank, size)
        torch.save([train(world, *case) for case in CASES], Path(folder) / f"{rank}.pt")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[Any, ...], Result]]:
    """(*case, number of ranks) -> what training gave."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.spawn(worker, (2, port, str(folder)), nprocs=2, join=False)
    with process_group() as world:
        assert (world.rank, world.size) == (0, 1)
        alone = {(*case, 1): merge([train(world, *case)]) for case in CASES}
    while not context.join():
        pass
    ranks = [torch.load(folder / f"{rank}.pt") for rank in range(2)]
    yield alone | {(*case, 2): merge([rank[i] for rank in ranks]) for i, case in enumerate(CASES)}


def row_wise_adagrad(table: nn.Parameter, sums: Tensor, rate: float) -> None:
    """sums_r += mean_d g_rd^2;  table_r -= rate g_r / (sqrt(sums_r) + epsilon)."""
    with torch.no_grad():
        sums += table.grad.square().mean(dim=1)
        table -= rate * table.grad / (sums.sqrt() + EPSILON).unsqueeze(1)


def plain(architecture: str, start: dict[str, Tensor]) -> Result:
    """The same steps on all rows in plain PyTorch: autograd through unsharded tables and an optimizer written from its formula."""
    own, tasks = make_layout(), make_tasks()
    model = build_model(own, tasks, make_model_config(architecture))
    model.load_state_dict(start)
    initialise_tables(model, SEED)
    tables = {name: value for name, value in model.named_parameters() if name in start and "embedding" in name}
    sums = {name: torch.zeros(len(table)) for name, table in tables.items()}
    dense = dense_optimizer([value for name, value in model.named_parameters() if name not in tables])
    result: Result = {"outputs": [], "losses": []}
    for step, rate in enumerate(RATES):
        batch = make_batch(own, ROWS, step)
        outputs = model(batch)
        losses = task_losses(outputs, batch, tasks, label_weight(batch).wait())
        model.zero_grad()
        losses.sum().backward()
        dense.step()
        for name, table in tables.items():
            row_wise_adagrad(table, sums[name], rate)
        result["outputs"].append(outputs.detach())
        result["losses"].append(losses.detach())
    return result | {"end": model.state_dict()}


def assert_close(got: Any, reference: Any, tolerance: float = 1e-6) -> None:
    torch.testing.assert_close(got, reference, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("case", [case for case in CASES if case[2] is None and case[1] in EXACT], ids=str)
def test_training_equals_plain_pytorch(results: dict[tuple[Any, ...], Result], case: tuple[Any, ...], size: int) -> None:
    got = results[(*case, size)]
    reference = plain(case[0], got["start"])
    assert_close(got["outputs"], reference["outputs"])
    assert_close(got["losses"], reference["losses"])
    assert set(got["end"]) == set(reference["end"])
    moved = 0.0
    for name, value in got["end"].items():
        assert_close(value, reference["end"][name])
        moved = max(moved, (value - got["start"][name]).abs().max().item())
    assert moved > 1e-2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_tables_start_the_same_under_every_plan_and_number_of_ranks(results: dict[tuple[Any, ...], Result], case: tuple[Any, ...]) -> None:
    reference = build_model(make_layout(), make_tasks(), make_model_config(case[0]))
    initialise_tables(reference, SEED)
    tables = {name: value for name, value in reference.state_dict().items() if "embedding" in name}
    for size in (1, 2):
        start = results[(*case, size)]["start"]
        for name, value in tables.items():
            assert_close(start[name], value, 0)
    values = [value.flatten()[:60] for value in tables.values()]
    assert all(not torch.equal(one, other) for i, one in enumerate(values) for other in values[:i])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_compute_what_one_does(results: dict[tuple[Any, ...], Result], case: tuple[Any, ...]) -> None:
    """Weighing in both scopes included. Tables split by columns learn in another way, but start and look up the same."""
    one, two = (results[(*case, size)] for size in (1, 2))
    steps = 1 if case[1] == "column" else len(RATES)
    assert_close(two["outputs"][:steps], one["outputs"][:steps])
    assert_close(two["losses"][:steps], one["losses"][:steps])
    if case[1] != "column":
        assert_close(two["end"], one["end"])


def test_a_learning_rate_of_zero_stops_the_tables(results: dict[tuple[Any, ...], Result]) -> None:
    """The last step's rate is 0: the fused kernels obey it, from the very next backward pass on."""
    for result in results.values():
        for name, before in result["tables"].items():
            assert_close(result["end"][name], before, 0)
            assert not torch.equal(before, result["start"][name])


def test_the_plan_is_what_was_asked_for(results: dict[tuple[Any, ...], Result]) -> None:
    kinds = {row["table"]: row["sharding"] for row in results["mmoe", "mixed", None, 2]["plan"]}
    rows = {"brand", "history/hour", "topics", "user"}
    assert kinds == dict.fromkeys(rows, "row_wise") | dict.fromkeys(["tags", "video"], "table_wise")
    for plan in ("table", "row", "column"):
        for row in results["mmoe", plan, None, 2]["plan"]:
            spec = make_layout().tables[row["table"].replace("/", ".")]
            assert row["sharding"] == f"{plan}_wise"
            assert row["kernel"] == "fused"
            assert len(row["ranks"]) == (1 if plan == "table" or (plan == "column" and spec.dimension == 4) else 2)
            assert (row["rows"], row["dimension"], row["bytes"]) == (spec.rows, spec.dimension, spec.rows * spec.dimension * 4)
    assert {row["table"] for row in results["single", "mixed", None, 1]["plan"]} >= {"ctr/user", "cvr/user", "dwell/history/hour"}


def test_an_unknown_table_is_named_with_its_nearest() -> None:
    model = build_model(make_layout(), make_tasks(), make_model_config("mmoe"), None, META)
    with process_group() as world, pytest.raises(InputError, match=r"train\.sharding\.tables: .*'vidoe'; the nearest is 'video'"):
        wrap(model, world, ShardingConfig(tables={"vidoe": "row_wise"}), SparseOptimizerConfig(), 0, ROWS)


def test_a_model_without_tables_trains() -> None:
    own, tasks = make_layout([{"kind": "number", "name": "age"}]), make_tasks()
    with process_group() as world:
        model = wrap(build_model(own, tasks, make_model_config("mmoe")), world, ShardingConfig(), SparseOptimizerConfig(), 0, ROWS)
        set_table_learning_rate(model, 0.1)
        batch = make_batch(own, ROWS)
        task_losses(model(batch), batch, tasks, label_weight(batch, world.group).wait()).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
