"""The memory of a step beside the tables: the step itself is taken on tensors without memory, and what it would hold is counted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker, _MemRefType
from torchrec import JaggedTensor

import emtl
from recsys.config import Config
from recsys.data.batch import Batch
from recsys.data.layout import Layout
from recsys.models.embeddings import Embedded, Embeddings
from recsys.models.model import MultiTaskModel, build_model
from recsys.models.tasks import task_losses

# What PyTorch's tracker tells apart, without what follows from the number of parameters.
OTHERS = (_MemRefType.ACT, _MemRefType.TEMP, _MemRefType.OTH)


@dataclass(frozen=True)
class DenseMemory:
    """Bytes on a rank when its step holds most.

    weights: the values of the dense parameters, which is also what the ranks sum up in a step. parameters: these, their gradients (which
    are DDP's buckets too) and AdamW's two moments. activations: what the forward pass keeps for the backward pass, embedded features
    included, and what the backward pass makes.
    """

    weights: int
    parameters: int
    activations: int


def dense_memory(config: Config, layout: Layout, rows: int) -> DenseMemory:
    """What a step holds on a rank with `rows` rows, whose lists are all as long as they may be. Allocates nothing."""
    with FakeTensorMode():
        # Other strategies look at their weights' values, and there are none; the fork holds and compares the gradients all the same.
        balancer = _Alone(emtl.create("equal", len(config.tasks)), config.mto.scope, observe=True)
        model = build_model(layout, config.tasks, config.model, balancer.fork, torch.device("meta"))
        for module in list(model.modules()):
            if isinstance(module, MultiTaskModel):
                module.embeddings = cast(Embeddings, _Looked(layout, rows))
        optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
        for parameter in model.parameters():  # AdamW's moments come into being in its first step
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tracker = MemTracker()
        tracker.track_external(model, optimizer)
        with tracker:
            _step(config, model, balancer, _batch(layout, len(config.tasks), rows))
            optimizer.step()
        peak: list[dict[Any, int]] = list(tracker.get_tracker_snapshot("peak").values())
        weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    activations = sum(size for sizes in peak for kind, size in sizes.items() if kind in OTHERS)
    return DenseMemory(weights, 4 * weights, activations)


def batch_memory(config: Config, layout: Layout, rows: int) -> int:
    """Bytes of `rows` rows of a batch as they are given to a step, whose lists are all as long as they may be."""
    ids = sum(slot.max_length or 1 for slot in layout.slots)
    weighted = sum(slot.max_length or 1 for slot in layout.slots if slot.weighted)
    return rows * (8 * ids + 4 * weighted + 4 * len(layout.slots) + 4 * layout.width + 5 * len(config.tasks) + 4)


def _step(config: Config, model: nn.Module, balancer: emtl.Balancer, batch: Batch) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=config.train.precision == "bfloat16"):
        outputs = model(batch)
    losses = task_losses(outputs, batch, config.tasks, torch.ones(len(config.tasks)))
    if not isinstance(model, MultiTaskModel):  # nothing is shared and nothing weighed
        losses.sum().backward()
        return
    compared: tuple[Iterable[torch.Tensor], ...] = ()
    if config.mto.scope == "parameters":
        compared = (model.shared_parameters(), model.shared_activations())
    balancer.total(losses, *compared).backward()


def _batch(layout: Layout, tasks: int, rows: int) -> Batch:
    labels = torch.zeros(rows, tasks)
    return Batch(None, None, torch.zeros(rows, layout.width), labels, labels.bool(), torch.ones(rows))


class _Alone(emtl.Balancer):
    """Makes no process group, which would wait for the other ranks: an estimate is one rank's own."""

    def _ensure_group(self) -> None:
        pass


class _Looked(nn.Module):
    """Stands for the tables: gives what they would, without any."""

    def __init__(self, layout: Layout, rows: int) -> None:
        super().__init__()
        self._layout, self._rows = layout, rows

    def forward(self, batch: Batch) -> Embedded:
        looked = Embedded({}, {})
        for slot in self._layout.slots:
            elements = self._rows * (slot.max_length or 1 if slot.sequence else 1)
            values = torch.zeros(elements, self._layout.tables[slot.table].dimension, requires_grad=True)
            if slot.sequence is None:
                looked.features[slot.key] = values
            else:
                looked.histories[slot.key] = JaggedTensor(values, lengths=torch.full((self._rows,), slot.max_length or 1))
        return looked
