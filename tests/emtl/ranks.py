"""What each rank of the distributed test runs; started as real processes over gloo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from small_models import Mixture, made, rows_and_labels
from strategy_cases import CASES, TENSOR_CASES, label
from torch import Tensor
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

import emtl

ROWS = 24
STEPS = 3
SETTINGS: list[dict[str, Any]] = [
    {"bucket_cap_mb": 25, "static_graph": False},
    {"bucket_cap_mb": 1e-5, "static_graph": False},
    {"bucket_cap_mb": 25, "static_graph": True},
    {"bucket_cap_mb": 1e-5, "static_graph": True},
]
OPTIONS: list[dict[str, Any]] = [
    {"every": 2},
    {"lagged": True},
    {"lagged": True, "every": 2, "scope": "parameters"},
    {"groups": [[0, 2], [1]], "preferences": [2.0, 1.0]},
    {"min_weight": 0.2, "max_weight": 1.4},
    {"observe": True},
]


@dataclass(frozen=True)
class Case:
    """A strategy, where it looks, how it is wrapped, and how a step is made of the rows."""

    strategy: tuple[str, dict[str, Any]] = ("emtl", {})
    balancer: dict[str, Any] = field(default_factory=dict)
    ddp: dict[str, Any] = field(default_factory=lambda: SETTINGS[0])
    dtype: torch.dtype = torch.float64
    batches: int = 1
    autocast: bool = False

    def __str__(self) -> str:
        how = [f"{self.batches} batches"] if self.batches > 1 else []
        precision = "autocast" if self.autocast else str(self.dtype)
        return " ".join([label(self.strategy), *map(str, self.balancer.values()), *map(str, self.ddp.values()), precision, *how])


def cases() -> Iterator[Case]:
    """Wrappings with `emtl`; every strategy in float32, with accumulated gradients, with autocast and at the parameters; options."""
    for scope in ("representation", "parameters"):
        for setting in SETTINGS:
            if scope == "representation" or not setting["static_graph"]:
                yield Case(balancer={"scope": scope}, ddp=setting)
        yield Case(balancer={"scope": scope}, dtype=torch.float32)
    for strategy in CASES + TENSOR_CASES:
        yield Case(strategy, dtype=torch.float32)
        yield Case(strategy, batches=2)
        yield Case(strategy, dtype=torch.float32, autocast=True)
        if strategy not in TENSOR_CASES:
            yield Case(strategy, {"scope": "parameters"})
    for options in OPTIONS:
        yield Case(("normalized", {}), options)


def bounds(rank: int, world: int) -> tuple[int, int]:
    """Uneven blocks of rows: the first rank has most of them."""
    edges = [0, *(ROWS - 2 * (world - 1 - other) for other in range(world))]
    return edges[rank], edges[rank + 1]


def losses_of(outputs: Tensor, labels: Tensor, valid: Tensor, counts: Tensor, world: int) -> Tensor:
    """Losses over valid labels, by their global counts, times the ranks: the mean over ranks is the loss of the whole batch."""
    scales = torch.tensor([1.0, 40.0, 0.03], dtype=outputs.dtype)
    return torch.where(valid, (outputs - labels).square(), 0.0).sum(0) / counts.clamp(min=1) * world * scales


def batches_of(step: int, case: Case) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The batches of a step: rows, labels and which labels are valid, with global rows."""
    for batch in range(case.batches):
        seed = step * case.batches + batch
        rows, labels = rows_and_labels(ROWS, seed=seed, dtype=case.dtype)
        valid = torch.rand(ROWS, 3, generator=torch.Generator().manual_seed(seed)) < 0.6
        valid[:, 2] &= step != 1  # a step without a valid label of task 2 on any rank
        valid[-2:, 1] = False  # and a rank without one of task 1
        yield rows, labels, valid


def run(rank: int, world: int, case: Case) -> dict[str, Any]:
    """Some steps of SGD; the weights of each, the last Gram matrix and gradients, and the parameters at the end."""
    name, options = case.strategy
    tasks = len(case.balancer.get("groups", [0, 1, 2]))
    balancer = emtl.Balancer(emtl.create(name, tasks, **options), **case.balancer)
    module = made(balancer.fork, dtype=case.dtype)
    model: Any = DistributedDataParallel(module, **case.ddp) if dist.is_initialized() else module
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    here = slice(*bounds(rank, world))
    weights = []
    for step in range(STEPS):
        optimizer.zero_grad()
        for rows, labels, valid in batches_of(step, case):
            with torch.autocast("cpu", torch.bfloat16, enabled=case.autocast):
                outputs = model(rows[here])
            losses = losses_of(outputs.to(case.dtype), labels[here], valid[here], valid.sum(0), world)
            (balancer.total(losses, parameters=module.shared()) / case.batches).backward()
            assert balancer.weights is not None
            weights.append(balancer.weights)
        gradients = torch.cat([torch.zeros(0) if part.grad is None else part.grad.flatten() for part in module.parameters()])
        optimizer.step()
    found = {"weights": torch.stack(weights), "gram": balancer.gram, "losses": balancer.losses}
    return {**found, "gradients": gradients, "parameters": flat(module)}


def flat(module: Mixture) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def main(rank: int, world: int, folder: str) -> None:
    """All cases on this rank, one file of results."""
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    torch.save([run(rank, world, case) for case in cases()], Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
