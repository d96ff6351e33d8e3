"""Progressive layered extraction."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recsys.config import PleConfig
from recsys.models.fork import Fork
from recsys.models.layers import Experts, mix


class Ple(nn.Module):
    """Tang et al., RecSys 2020: levels of shared and task experts: (B, inputs) -> K times (B, outputs).

    From the second level on, the shared experts see all streams, so every level but the last is shared by all tasks. The one
    fork stands at the last level, in front of all that is a task's own: its experts and its gate.
    """

    def __init__(self, inputs: int, tasks: int, config: PleConfig, fork: Fork) -> None:
        super().__init__()
        sizes = [inputs] + [config.expert_layers[-1]] * (config.levels - 1)
        self.lower = nn.ModuleList(_Level(size, tasks, config) for size in sizes[:-1])
        self.last = _Level(sizes[-1], tasks, config, shared_gate=False)
        self.outputs = config.expert_layers[-1]
        self.fork = fork

    def shared_modules(self) -> list[nn.Module]:
        """What all tasks share."""
        return [self.lower, self.last.shared]

    def forward(self, x: Tensor) -> list[Tensor]:
        """K tensors (B, outputs) from (B, inputs)."""
        shared, streams = x, [x] * len(self.last.gates)
        for level in self.lower:
            shared, streams = level(shared, streams)
        experts = self.last.shared(shared)
        if not self.lower:
            return [self.last.task(k, own, common) for k, (common, own) in enumerate(self.fork(experts, x))]
        views = self.fork(experts, *streams)
        return [self.last.task(k, view[k + 1], view[0]) for k, view in enumerate(views)]


class _Level(nn.Module):
    """One extraction network: shared experts, and experts and a gate a task."""

    def __init__(self, inputs: int, tasks: int, config: PleConfig, shared_gate: bool = True) -> None:
        super().__init__()
        layers, seen = config.expert_layers, config.shared_experts + config.task_experts
        self.shared = Experts(inputs, config.shared_experts, layers, config.dropout)
        self.tasks = nn.ModuleList(Experts(inputs, config.task_experts, layers, config.dropout) for _ in range(tasks))
        self.gates = nn.ModuleList(nn.Linear(inputs, seen) for _ in range(tasks))
        everything = config.shared_experts + tasks * config.task_experts
        self.shared_gate = nn.Linear(inputs, everything) if shared_gate else None

    def task(self, k: int, stream: Tensor, shared: Tensor) -> Tensor:
        """Task k's next stream (B, H) from its own (B, D) and the shared experts' outputs (B, E, H)."""
        return mix(self.gates[k], stream, torch.cat([shared, self.tasks[k](stream)], dim=1))

    def forward(self, shared: Tensor, streams: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The shared stream and the K task streams of the next level, (B, H) each."""
        common = self.shared(shared)
        own = [experts(stream) for experts, stream in zip(self.tasks, streams, strict=True)]
        following = [
            mix(gate, stream, torch.cat([common, experts], dim=1)) for gate, stream, experts in zip(self.gates, streams, own, strict=True)
        ]
        assert self.shared_gate is not None
        return mix(self.shared_gate, shared, torch.cat([common, *own], dim=1)), following
