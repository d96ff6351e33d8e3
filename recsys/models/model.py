"""The assembled model: tables, interaction, architecture, towers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from recsys.config import Model, SharedBottomConfig, SingleConfig, Task
from recsys.data.batch import Batch
from recsys.data.layout import Layout
from recsys.models.attention import TargetAttention
from recsys.models.embeddings import Embedded, Embeddings
from recsys.models.fork import Fork, plain_fork
from recsys.models.layers import MLP
from recsys.models.mmoe import Mmoe
from recsys.models.ple import Ple
from recsys.models.shared_bottom import SharedBottom

# Built as cls(inputs, tasks, config, fork): (B, inputs) -> K representations (B, outputs).
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {"mmoe": Mmoe, "ple": Ple, "shared_bottom": SharedBottom}


def build_model(
    layout: Layout, tasks: Sequence[Task], config: Model, fork: Fork | None = None, table_device: torch.device | None = None
) -> nn.Module:
    """The configured model; its forward takes a Batch and returns raw outputs (B, K).

    fork: where the shared network ends (see `Fork`), called once a forward pass except by `single`, which shares nothing.
    table_device: the meta device leaves tables without memory until they are sharded.
    """
    if isinstance(config, SingleConfig):
        return SingleTaskModels(layout, tasks, config, table_device)
    return MultiTaskModel(layout, tasks, config, fork or plain_fork(len(tasks)), table_device=table_device)


class MultiTaskModel(nn.Module):
    """One network for K tasks: concatenated features -> architecture with its fork -> a tower a task."""

    def __init__(
        self,
        layout: Layout,
        tasks: Sequence[Task],
        config: Model,
        fork: Fork,
        prefix: str = "",
        table_device: torch.device | None = None,
    ) -> None:
        """`prefix` is put in front of the names of tables."""
        super().__init__()
        self.embedded = Embedded({}, {})
        self.embeddings = Embeddings(layout, prefix, table_device)
        self.interaction = Interaction(layout)
        self.architecture = ARCHITECTURES[config.architecture](self.interaction.outputs, len(tasks), config, fork)
        width = cast(int, self.architecture.outputs)
        self.towers = nn.ModuleList(Tower(width, config.tower_layers, config.dropout) for _ in tasks)

    def forward(self, batch: Batch) -> Tensor:
        """(B, K) logits, or log(1 + seconds)."""
        self.embedded = self.embeddings(batch)
        representations = self.architecture(self.interaction(self.embedded, batch.dense))
        return torch.cat([tower(own) for tower, own in zip(self.towers, representations, strict=True)], dim=1)

    def shared_parameters(self) -> list[nn.Parameter]:
        """The dense parameters below the fork, where the scope `parameters` compares the tasks."""
        modules = [self.interaction, *cast(Callable[[], list[nn.Module]], self.architecture.shared_modules)()]
        return [parameter for module in modules for parameter in module.parameters()]

    def shared_activations(self) -> list[Tensor]:
        """What the last forward pass looked up in the tables, in its graph: a fused table's gradient for one task never exists."""
        return [*self.embedded.features.values(), *(history.values() for history in self.embedded.histories.values())]

    @torch.no_grad()
    def start_at(self, outputs: Tensor) -> None:
        """Make the towers' outputs begin near (K,) `outputs` instead of 0, which would cost the first steps."""
        for tower, output in zip(cast(Iterable[Tower], self.towers), outputs, strict=True):
            tower.output.bias.copy_(output)


class SingleTaskModels(nn.Module):
    """The single-task reference: a model a task, each with tables of its own (named `TASK/TABLE`), nothing shared and no fork."""

    def __init__(self, layout: Layout, tasks: Sequence[Task], config: SingleConfig, table_device: torch.device | None = None) -> None:
        super().__init__()
        own = SharedBottomConfig(architecture="shared_bottom", **config.model_dump(exclude={"architecture"}))
        self.models = nn.ModuleDict(
            {task.name: MultiTaskModel(layout, [task], own, plain_fork(1), f"{task.name}/", table_device) for task in tasks}
        )

    def forward(self, batch: Batch) -> Tensor:
        """(B, K) logits, or log(1 + seconds)."""
        return torch.cat([model(batch) for model in self.models.values()], dim=1)

    def start_at(self, outputs: Tensor) -> None:
        """Make each model's output begin near its own of (K,) `outputs`."""
        for model, output in zip(cast(Iterable[MultiTaskModel], self.models.values()), outputs, strict=True):
            model.start_at(output.unsqueeze(0))


class Interaction(nn.Module):
    """All features of a row, one behind the other: embeddings, attended histories, numbers and vectors: (B, outputs)."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        widths = {slot.key: layout.tables[slot.table].dimension for slot in layout.slots}
        attentions = [TargetAttention(sequence, widths) for sequence in layout.sequences]
        self.attentions = nn.ModuleList(attentions)
        features = sum(widths[slot.key] for slot in layout.slots if slot.sequence is None)
        self.outputs = features + sum(attention.outputs for attention in attentions) + layout.width

    def forward(self, embedded: Embedded, dense: Tensor) -> Tensor:
        """(B, outputs) from the embedded features of B rows and dense (B, D)."""
        attended = [attention(embedded) for attention in self.attentions]
        return torch.cat([*embedded.features.values(), *attended, dense], dim=1)


class Tower(nn.Module):
    """A task's own layers: (B, inputs) -> (B, 1)."""

    def __init__(self, inputs: int, layers: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.hidden = MLP(inputs, layers, dropout)
        self.output = nn.Linear(self.hidden.outputs, 1)

    def forward(self, own: Tensor) -> Tensor:
        """(B, 1) from a task's representation (B, inputs)."""
        return self.output(self.hidden(own))
