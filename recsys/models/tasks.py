"""What each kind of task makes of a raw output: its loss and its prediction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional

from recsys.config import BinaryTask, DurationTask, Task
from recsys.data.batch import Batch


@dataclass(frozen=True)
class Kind:
    """What raw outputs (B,) of one kind of task mean.

    loss: (B,) of outputs and labels of a task. predict: what the outputs stand for. target: the scale on which labels are averaged,
    and constant: the output that stands for such an average.
    """

    loss: Callable[[Tensor, Tensor, Any], Tensor]
    predict: Callable[[Tensor], Tensor]
    target: Callable[[Tensor], Tensor]
    constant: Callable[[Tensor], Tensor]


def _log_loss(logits: Tensor, labels: Tensor, task: BinaryTask) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _log_huber(logs: Tensor, seconds: Tensor, task: DurationTask) -> Tensor:
    """Huber's loss on log(1 + seconds), so that a few very long stays don't rule."""
    return functional.huber_loss(logs, torch.log1p(seconds), reduction="none", delta=task.delta)


def _seconds(logs: Tensor) -> Tensor:
    return torch.expm1(logs.clamp(min=0))


def _same(values: Tensor) -> Tensor:
    return values


KINDS = {
    "binary": Kind(_log_loss, torch.sigmoid, target=_same, constant=torch.logit),
    "duration": Kind(_log_huber, _seconds, target=torch.log1p, constant=_same),
}


@dataclass
class LabelWeight:
    """What a step sums over all ranks ahead of its forward pass, perhaps still on its way.

    total: (K + 1,) the weight of valid labels of each task, and how many ranks were told to stop.
    """

    total: Tensor
    work: dist.Work | None = None

    def wait(self) -> Tensor:
        """(K,) the global weight of valid labels."""
        self._arrive()
        return self.total[:-1]

    def stops(self) -> Tensor:
        """() ranks that were told to stop."""
        self._arrive()
        return self.total[-1]

    def _arrive(self) -> None:
        if self.work is not None:
            self.work.wait()


def label_weight(batch: Batch, group: dist.ProcessGroup | None = None, stop: bool = False) -> LabelWeight:
    """Starts the sum of weight * mask over the ranks of `group` (this rank's alone when None): launch it ahead of the forward pass.

    stop: whether this rank was told to stop. It goes along, so that all ranks hear of it in the same step and no other message is needed.
    """
    # Filled on the device: a number copied there would make the host wait.
    told = batch.weights.new_full((1,), float(stop))
    total = torch.cat([batch.weights @ batch.masks.to(batch.weights.dtype), told])
    if group is None or group.size() == 1:
        return LabelWeight(total)
    return LabelWeight(total, dist.all_reduce(total, group=group, async_op=True))


def task_losses(outputs: Tensor, batch: Batch, tasks: Sequence[Task], total: Tensor, world_size: int = 1) -> Tensor:
    """(K,) losses of this rank, whose mean over ranks is the global loss.

    outputs: (B, K) raw. total: (K,) global weight of valid labels, from `label_weight`. Each is
    task.weight * world_size * sum(weight * mask * loss) / total; a task without any valid label has loss 0 and sends back zeros.
    """
    outputs = outputs.float()
    each = [KINDS[task.kind].loss(outputs[:, k], batch.labels[:, k], task) * (task.weight * world_size) for k, task in enumerate(tasks)]
    sums = (torch.stack(each, dim=1) * batch.masks * batch.weights.unsqueeze(1)).sum(dim=0)
    return sums / total.clamp(min=torch.finfo(total.dtype).tiny)


def predict(outputs: Tensor, tasks: Sequence[Task]) -> Tensor:
    """(B, K) probabilities and seconds, from (B, K) raw outputs."""
    outputs = outputs.float()
    return torch.stack([KINDS[task.kind].predict(outputs[:, k]) for k, task in enumerate(tasks)], dim=1)


def starting_outputs(batch: Batch, tasks: Sequence[Task], total: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """(K,) outputs with which the towers do best while they know nothing: those of the mean labels of the step's rows, over all ranks.

    total: (K,) global weight of valid labels. The mean is drawn towards one half of one label, so that a rate is never 0 or 1.
    """
    targets = torch.stack([KINDS[task.kind].target(batch.labels[:, k]) for k, task in enumerate(tasks)], dim=1)
    sums = (targets * batch.masks * batch.weights.unsqueeze(1)).sum(dim=0)
    if group is not None and group.size() > 1:
        dist.all_reduce(sums, group=group)
    means = (sums + 0.5) / (total + 1)
    return torch.stack([KINDS[task.kind].constant(means[k]) for k, task in enumerate(tasks)])
