"""Metrics of a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from recsys.config import Task
from recsys.data.reader import Reader
from recsys.distributed import World
from recsys.evaluation.collector import Collector
from recsys.models.tasks import predict


@torch.no_grad()
def evaluate(
    model: torch.nn.Module, reader: Reader, tasks: Sequence[Task], world: World, keep: Callable[[int, Tensor], None] | None = None
) -> dict[str, float]:
    """Exact metrics over all rows of `reader`, such as `ctr/auc`; the same on every rank. Collective. Leaves the model in training mode.

    keep: is given each step with this rank's (B, K) predictions.
    """
    collector = Collector(tasks)
    model.eval()
    for step, batch in enumerate(reader.epoch(0)):
        predictions = predict(model(batch.to(world.device, non_blocking=True)), tasks)
        collector.add(predictions, batch.labels, batch.masks)
        if keep:
            keep(step, predictions)
    model.train()
    return collector.compute(world.group)
