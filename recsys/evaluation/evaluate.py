"""Metrics of a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torchrec.distributed.utils import none_throws

from recsys.config import Task
from recsys.data.reader import Reader
from recsys.distributed import World
from recsys.errors import Stopped
from recsys.evaluation.collector import Collector
from recsys.models.tasks import predict


@torch.no_grad()
def evaluate(
    model: torch.nn.Module,
    reader: Reader,
    tasks: Sequence[Task],
    world: World,
    keep: Callable[[int, Tensor], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """Exact metrics over all rows of `reader`, such as `ctr/auc`; the same on every rank. Collective. Leaves the model in training mode.

    keep: is given each step with this rank's (B, K) predictions. stop: whether this rank was told to stop.
    Raises Stopped, on every rank, once any was.
    """
    collector = Collector(tasks)
    model.eval()
    for step, batch in enumerate(reader.epoch(0)):
        stops = torch.full((1,), float(stop()), device=world.device)
        message = none_throws(dist.all_reduce(stops, group=world.group, async_op=True))  # on its way during the forward pass
        predictions = predict(model(batch.to(world.device, non_blocking=True)), tasks)
        collector.add(predictions, batch.labels, batch.masks)
        if keep:
            keep(step, predictions)
        message.wait()
        if stops.item():
            raise Stopped("in an evaluation; --resume starts it again")
    model.train()
    return collector.compute(world.group)
