"""Metrics of a model on a split."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from recsys.config import Task
from recsys.data.reader import Reader
from recsys.distributed import World
from recsys.evaluation.collector import Collector
from recsys.models.tasks import predict


@torch.no_grad()
def evaluate(model: torch.nn.Module, reader: Reader, tasks: Sequence[Task], world: World) -> dict[str, float]:
    """Exact metrics over all rows of `reader`, such as `ctr/auc`; the same on every rank. Collective. Leaves the model in training mode."""
    collector = Collector(tasks)
    model.eval()
    for batch in reader.epoch(0):
        on_device = batch.to(world.device, non_blocking=True)
        collector.add(predict(model(on_device).float(), tasks), batch.labels, batch.masks)
    model.train()
    return collector.compute(world.group)
