"""Multi-gate mixture of experts."""

from __future__ import annotations

from torch import Tensor, nn

from recsys.config import MmoeConfig
from recsys.models.fork import Fork
from recsys.models.layers import Experts, mix


class Mmoe(nn.Module):
    """Ma et al., KDD 2018: shared experts, and a gate a task that weighs them: (B, inputs) -> K times (B, outputs).

    Gates belong to their task: what they send back to the input is part of the task's gradient, so the input is forked with the experts.
    """

    def __init__(self, inputs: int, tasks: int, config: MmoeConfig, fork: Fork) -> None:
        super().__init__()
        self.experts = Experts(inputs, config.experts, config.expert_layers, config.dropout)
        self.gates = nn.ModuleList(nn.Linear(inputs, config.experts) for _ in range(tasks))
        self.outputs = self.experts.outputs
        self.fork = fork

    def shared_modules(self) -> list[nn.Module]:
        """What all tasks share."""
        return [self.experts]

    def forward(self, x: Tensor) -> list[Tensor]:
        """K tensors (B, outputs) from (B, inputs)."""
        views = self.fork(self.experts(x), x)
        return [mix(gate, own, experts) for gate, (experts, own) in zip(self.gates, views, strict=True)]
