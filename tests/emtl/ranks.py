"""What each rank of the distributed test runs; started as real processes over gloo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from small_models import Mixture, made, rows_and_labels
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


def cases() -> Iterator[tuple[str, dict[str, Any], dict[str, Any], torch.dtype]]:
    """(scope, strategy options, DDP settings, dtype)."""
    for scope in ("representation", "parameters"):
        for setting in SETTINGS:
            if scope == "representation" or not setting["static_graph"]:
                yield scope, {}, setting, torch.float64
        yield scope, {}, SETTINGS[0], torch.float32
    for options in ({"regularizer": "chi2"}, {"regularizer": "variance"}, {"regularizer": "kl"}):
        yield "representation", options, SETTINGS[0], torch.float64


def bounds(rank: int, world: int) -> tuple[int, int]:
    """Uneven blocks of rows: the first rank has most of them."""
    edges = [0, *(ROWS - 2 * (world - 1 - other) for other in range(world))]
    return edges[rank], edges[rank + 1]


def losses_of(outputs: Tensor, labels: Tensor, valid: Tensor, counts: Tensor, world: int) -> Tensor:
    """Losses over valid labels, by their global counts, times the ranks: the mean over ranks is the loss of the whole batch."""
    scales = torch.tensor([1.0, 40.0, 0.03], dtype=outputs.dtype)
    return torch.where(valid, (outputs - labels).square(), 0.0).sum(0) / counts.clamp(min=1) * world * scales


def run(rank: int, world: int, case: tuple[str, dict[str, Any], dict[str, Any], torch.dtype]) -> dict[str, Any]:
    """Some steps of SGD; the weights of each, the last Gram matrix and the parameters at the end."""
    scope, options, setting, dtype = case
    balancer = emtl.Balancer(emtl.create("emtl", 3, **options), scope=scope)
    module = made(balancer.fork, dtype=dtype)
    model: Any = DistributedDataParallel(module, **setting) if dist.is_initialized() else module
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02)
    weights = []
    for step in range(STEPS):
        rows, labels = rows_and_labels(ROWS, seed=step, dtype=dtype)
        valid = torch.rand(ROWS, 3, generator=torch.Generator().manual_seed(step)) < 0.6
        valid[:, 2] &= step != 1  # a step without a valid label of task 2 on any rank
        valid[-2:, 1] = False  # and a rank without one of task 1
        here = slice(*bounds(rank, world))
        losses = losses_of(model(rows[here]), labels[here], valid[here], valid.sum(0), world)
        optimizer.zero_grad()
        balancer.total(losses, parameters=module.shared()).backward()
        optimizer.step()
        assert balancer.weights is not None
        weights.append(balancer.weights)
    return {"weights": torch.stack(weights), "gram": balancer.gram, "losses": balancer.losses, "parameters": flat(module)}


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
