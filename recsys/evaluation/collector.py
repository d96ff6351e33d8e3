"""Exact metrics of rows that are spread over ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from recsys.config import Task
from recsys.evaluation.binary import binary_metrics
from recsys.evaluation.duration import duration_metrics
from recsys.evaluation.names import MEAN_AUC, metric_names
from recsys.evaluation.order import from_ordered_bits, ordered_bits, pack, unpack


class Collector:
    """Keeps the predictions of an evaluation on the CPU and computes the metrics of all ranks' rows together.

    Memory: 8 bytes a row and task on the rank that added it. While computing, rank 0 holds one task at a time: 8 bytes for each of
    its rows over all ranks, and about 50 more at the height of the sorts.

    Example::

        collector = Collector(tasks)
        for batch in valid:
            collector.add(model.predict(batch), batch.labels, batch.masks)
        metrics = collector.compute(process_group)      # {"ctr/auc": 0.71, ..., "mean/auc": 0.68}
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self._parts: list[list[Tensor]] = [[] for _ in self.tasks]

    def add(self, predictions: Tensor, labels: Tensor, masks: Tensor) -> None:
        """Takes a batch: (B, K) predictions (probability or seconds), (B, K) labels, (B, K) bool masks of the rows that count."""
        predictions, labels, masks = (part.detach().cpu() for part in (predictions, labels, masks))
        for task, parts in enumerate(self._parts):
            rows = masks[:, task]
            parts.append(torch.stack([predictions[rows, task].float(), labels[rows, task].float()]))

    def compute(self, process_group: dist.ProcessGroup | None = None) -> dict[str, float]:
        """Metrics by `TASK/METRIC` over the rows of every rank, plus `mean/auc` (tasks without an AUC left out), same on all ranks.

        Collective: every rank of `process_group` (None: of the default group, or this process alone where there is none) calls it,
        with any number of rows. The result doesn't depend on how the rows are spread. A task with one class has AUC NaN.

        Raises:
            ValueError: NaN among the predictions, on any rank; raised on all.
        """
        exchange = Exchange(process_group)
        rows = [torch.cat(parts, dim=1) if parts else torch.empty(2, 0) for parts in self._parts]
        counts = exchange.counts(torch.tensor([[part.shape[1], int(part[0].isnan().sum())] for part in rows]))
        self._refuse_nan(counts)
        metrics: dict[str, float] = {}
        for task, part, sizes in zip(self.tasks, rows, counts[:, :, 0].T.tolist(), strict=True):
            gathered = exchange.to_first(part, sizes)
            if gathered is not None:
                metrics |= {f"{task.name}/{name}": value for name, value in task_metrics(task, gathered.numpy()).items()}
        if exchange.rank == 0:
            metrics[MEAN_AUC] = mean_auc(metrics)
        names = metric_names(self.tasks)
        values = exchange.from_first([metrics.get(name, math.nan) for name in names])
        return dict(zip(names, values, strict=True))

    def _refuse_nan(self, counts: Tensor) -> None:
        for task, (rows, missing) in zip(self.tasks, counts.sum(0).tolist(), strict=True):
            if missing:
                raise ValueError(f"task {task.name}: {missing} of {rows} predictions are NaN")


class Exchange:
    """What a gather of uneven tensors needs from a process group; on one process everything stays where it is."""

    def __init__(self, process_group: dist.ProcessGroup | None) -> None:
        alone = process_group is None and not dist.is_initialized()
        self._group = None if alone else process_group or dist.group.WORLD
        self.rank = 0 if self._group is None else dist.get_rank(self._group)
        self.size = 1 if self._group is None else dist.get_world_size(self._group)
        on_gpu = self._group is not None and dist.get_backend(self._group) == "nccl"
        self._device = torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")

    def counts(self, local: Tensor) -> Tensor:
        """(W, ...) the ranks' integer tensors of the same shape, on every rank."""
        if self._group is None:
            return local[None]
        parts = [torch.empty_like(local, device=self._device) for _ in range(self.size)]
        dist.all_gather(parts, local.to(self._device), group=self._group)
        return torch.stack(parts).cpu()

    def to_first(self, local: Tensor, sizes: list[int]) -> Tensor | None:
        """(2, sum of sizes) float32 on rank 0, from each rank's (2, size); None on the others."""
        if self._group is None:
            return local
        if self.rank:
            if local.shape[1]:
                dist.send(local.to(self._device), group=self._group, group_dst=0)
            return None
        parts = [local]
        for source, size in enumerate(sizes[1:], start=1):
            if size:
                part = torch.empty(2, size, device=self._device)
                dist.recv(part, group=self._group, group_src=source)
                parts.append(part.cpu())
        return torch.cat(parts, dim=1)

    def from_first(self, numbers: list[float]) -> list[float]:
        """Rank 0's float64 numbers, on every rank."""
        if self._group is None:
            return numbers
        tensor = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        dist.broadcast(tensor, group=self._group, group_src=0)
        return tensor.tolist()


def task_metrics(task: Task, rows: NDArray[np.float32]) -> dict[str, float]:
    """Metrics of one task from (2, n) predictions and labels; bitwise the same for any order of the rows."""
    # Sums of floats depend on their order, so the rows are brought into the one order that all spreads over ranks share.
    packed = pack(ordered_bits(rows[0]), ordered_bits(rows[1]))
    packed.sort()
    predictions, labels = (from_ordered_bits(half) for half in unpack(packed))
    if task.kind == "binary":
        return binary_metrics(predictions, labels)
    return duration_metrics(predictions, labels, task.threshold)


def mean_auc(metrics: dict[str, float]) -> float:
    """Mean of the tasks' `TASK/auc` that are numbers; NaN where none is."""
    values = [value for name, value in metrics.items() if name.endswith("/auc") and not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan
