"""The yardstick of `recsys bench train`: the same model in bare TorchRec and torch, on one batch that stays in memory.

Nothing of ours is in its step: no fork, no masks, no weights, no reading. What other trainers reach was measured beside this step on
another machine, so it carries their figures over to this one.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.optim.optimizers import in_backward_optimizer_filter

from recsys.benchmarks.made_logs import KUAIRAND, MODEL
from recsys.config import ShardingConfig, SparseOptimizerConfig
from recsys.distributed import World, wrap

DIMENSION, TASKS = 16, 3
PRODUCT = 1024  # rows and columns of the matrices that are multiplied


class PlainModel(nn.Module):
    """MMoE over pooled embeddings: (B, 3) logits."""

    def __init__(self) -> None:
        super().__init__()
        tables = [
            EmbeddingBagConfig(name=name, embedding_dim=DIMENSION, num_embeddings=2 * size + 1, feature_names=[name])
            for name, size in KUAIRAND.items()
        ]
        self.tables = EmbeddingBagCollection(tables, device=torch.device("meta"))
        width, layers, experts = DIMENSION * len(KUAIRAND), MODEL["expert_layers"], MODEL["experts"]
        self.experts = nn.ModuleList(_layers(width, layers) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(width, experts) for _ in range(TASKS))
        self.towers = nn.ModuleList(
            nn.Sequential(_layers(layers[-1], MODEL["tower_layers"]), nn.Linear(MODEL["tower_layers"][-1], 1)) for _ in range(TASKS)
        )

    def forward(self, ids: KeyedJaggedTensor) -> Tensor:
        """(B, 3) logits of B rows' ids."""
        found = self.tables(ids).to_dict()
        inputs = torch.cat([found[name] for name in KUAIRAND], dim=1)
        experts = torch.stack([expert(inputs) for expert in self.experts], dim=1)
        mixed = [(gate(inputs).softmax(1).unsqueeze(2) * experts).sum(1) for gate in self.gates]
        return torch.cat([tower(own) for tower, own in zip(self.towers, mixed, strict=True)], dim=1)


def plain_step(world: World, rows: int) -> Callable[[], None]:
    """A training step on `rows` random rows of this rank: forward, mean losses, backward with the tables' update, Adam."""
    torch.manual_seed(0)
    model = wrap(PlainModel(), world, ShardingConfig(), SparseOptimizerConfig(), seed=0, batch_size=rows)
    generator = torch.Generator().manual_seed(world.rank)
    ids = torch.cat([torch.randint(0, 2 * size + 1, (rows,), generator=generator) for size in KUAIRAND.values()])
    batch = KeyedJaggedTensor.from_lengths_sync(list(KUAIRAND), ids, torch.ones(len(ids), dtype=torch.int32)).to(world.device)
    labels = torch.rand(rows, TASKS, generator=generator).round().to(world.device)
    dense = torch.optim.Adam([value for _, value in in_backward_optimizer_filter(model.named_parameters())], lr=1e-3, foreach=True)

    def step() -> None:
        F.binary_cross_entropy_with_logits(model(batch), labels, reduction="none").mean(0).sum().backward()
        dense.step()
        dense.zero_grad(set_to_none=True)

    return step


def products(seconds: float) -> float:
    """Billions of floating-point operations a second that this rank's matrix products reach while the others' run too. Collective."""
    matrix, times = torch.rand(PRODUCT, PRODUCT), 0
    dist.barrier()
    start = time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        matrix @ matrix
        times += 1
    return times * 2 * PRODUCT**3 / elapsed / 1e9


def _layers(inputs: int, layers: list[int]) -> nn.Sequential:
    pairs = zip([inputs, *layers], layers, strict=False)
    return nn.Sequential(*(layer for before, after in pairs for layer in (nn.Linear(before, after), nn.ReLU())))
