"""What the benchmark of strategies trains: one MMoE on synthetic batches that stay in memory."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor
from torchrec import KeyedJaggedTensor

from recsys.benchmarks.candidates import Candidate
from recsys.config import BinaryTask, DurationTask, Feature, MmoeConfig, ShardingConfig, SparseOptimizerConfig, Task, TrainConfig
from recsys.data.batch import Batch
from recsys.data.layout import layout
from recsys.distributed import World, wrap
from recsys.models.model import build_model
from recsys.models.tasks import label_weight, task_losses
from recsys.training.optimizers import Optimizers

FEATURES, DIMENSION, BUCKETS = 36, 16, 10_000
EXPERTS, EXPERT_LAYERS, TOWER_LAYERS = 4, [128, 64], [64]
BATCHES = 4  # different ones, taken in turn
TASKS: list[Task] = [
    BinaryTask(kind="binary", name="ctr", label="click"),
    BinaryTask(kind="binary", name="cvr", label="conversion", space="click"),
    DurationTask(kind="duration", name="dwell", label="seconds"),
]
DESCRIPTION = (
    f"MMoE, K = {len(TASKS)}, {FEATURES} id features of dimension {DIMENSION} ({BUCKETS:,} rows each), "
    f"{EXPERTS} experts {'-'.join(map(str, EXPERT_LAYERS))}, towers {'-'.join(map(str, TOWER_LAYERS))}"
)


class Workload:
    """A sharded model with its optimizers; a step of it is weighed by whichever candidate is given.

    All candidates share model, tables and memory, so that nothing but the weighing differs between their steps.
    """

    def __init__(self, world: World, batch_size: int, seed: int = 0) -> None:
        features = [{"kind": "id", "name": f"id_{number}", "buckets": BUCKETS, "dimension": DIMENSION} for number in range(FEATURES)]
        own = layout(TypeAdapter(list[Feature]).validate_python(features))
        config = MmoeConfig(architecture="mmoe", experts=EXPERTS, expert_layers=EXPERT_LAYERS, tower_layers=TOWER_LAYERS)
        torch.manual_seed(seed)
        model = build_model(own, TASKS, config, self._fork, torch.device("meta"))
        self.world = world
        self.model = wrap(model, world, ShardingConfig(), SparseOptimizerConfig(), seed, batch_size)
        self.optimizers = Optimizers(self.model, TrainConfig(), total_steps=1)
        self.batches = [_batch(batch_size, seed + number).to(world.device) for number in range(BATCHES)]
        self._candidate: Candidate | None = None

    def step(self, candidate: Candidate, number: int) -> None:
        """A full training step on batch `number`: forward, backward with the update of the tables, dense update."""
        self._candidate = candidate
        batch = self.batches[number % BATCHES]
        total = label_weight(batch, self.world.group)
        losses = task_losses(self.model(batch), batch, TASKS, total.wait(), self.world.size)
        candidate.backward(self.model.module, losses)
        self.optimizers.step()

    def _fork(self, *shared: Tensor) -> Any:
        assert self._candidate is not None
        return self._candidate.fork(*shared)


def _batch(rows: int, seed: int) -> Batch:
    """Random ids and labels; conversions count on clicked rows."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, BUCKETS + 1, (FEATURES * rows,), generator=generator)
    keys = [f"id_{number}" for number in range(FEATURES)]
    sparse = KeyedJaggedTensor.from_lengths_sync(keys, ids, torch.ones(FEATURES * rows, dtype=torch.int32))
    chance = torch.rand(rows, len(TASKS), generator=generator)
    click, conversion, seconds = chance[:, 0] < 0.3, chance[:, 1] < 0.1, chance[:, 2] * 60
    labels = torch.stack([click.float(), (click & conversion).float(), seconds], dim=1)
    masks = torch.stack([torch.ones(rows, dtype=torch.bool), click, torch.ones(rows, dtype=torch.bool)], dim=1)
    return Batch(sparse, None, torch.zeros(rows, 0), labels, masks, torch.ones(rows))
