"""A small mixture-of-experts model with three tasks, and the plain way to its combined gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

TASKS = 3
SCALES = (1.0, 40.0, 0.03)


class Mixture(nn.Module):
    """Two shared tensors of different shapes, experts (B, 3, 4) and their input (B, 6), feed three gates and towers."""

    def __init__(self, fork: Callable[..., tuple[Any, ...]] | None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.fork = fork
        self.bottom = nn.Linear(5, 6, dtype=dtype)
        self.experts = nn.ModuleList(nn.Linear(6, 4, dtype=dtype) for _ in range(3))
        self.gates = nn.ModuleList(nn.Linear(6, 3, dtype=dtype) for _ in range(TASKS))
        self.towers = nn.ModuleList(nn.Linear(4, 1, dtype=dtype) for _ in range(TASKS))

    def forward(self, rows: Tensor) -> Tensor:
        inputs = self.bottom(rows).tanh()
        experts = torch.stack([expert(inputs).tanh() for expert in self.experts], 1)
        views = self.fork(experts, inputs) if self.fork else [(experts, inputs)] * TASKS
        parts = zip(views, self.gates, self.towers, strict=True)
        return torch.cat([tower((gate(x).softmax(-1)[:, None] @ e).squeeze(1)) for (e, x), gate, tower in parts], 1)

    def shared(self) -> list[Tensor]:
        return [*self.bottom.parameters(), *self.experts.parameters()]

    def own(self) -> list[Tensor]:
        return [*self.gates.parameters(), *self.towers.parameters()]


def made(fork: Callable[..., tuple[Any, ...]] | None, seed: int = 0, dtype: torch.dtype = torch.float64) -> Mixture:
    torch.manual_seed(seed)
    return Mixture(fork, dtype)


def rows_and_labels(number: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(number, 5, generator=generator, dtype=torch.float64)
    return rows.to(dtype), torch.randn(number, TASKS, generator=generator, dtype=torch.float64).to(dtype)


def task_losses(outputs: Tensor, labels: Tensor, scales: tuple[float, ...] = SCALES) -> Tensor:
    return (outputs - labels).square().mean(0) * torch.tensor(scales, dtype=outputs.dtype)


def known(tensor: Tensor | None) -> Tensor:
    """The tensor, which must be there."""
    assert tensor is not None
    return tensor
