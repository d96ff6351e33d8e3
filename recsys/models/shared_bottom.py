"""One network for all tasks."""

from __future__ import annotations

from torch import Tensor, nn

from recsys.config import SharedBottomConfig
from recsys.models.fork import Fork
from recsys.models.layers import MLP


class SharedBottom(nn.Module):
    """Caruana 1997: (B, inputs) -> K views of the bottom's output (B, outputs)."""

    def __init__(self, inputs: int, tasks: int, config: SharedBottomConfig, fork: Fork) -> None:
        super().__init__()
        self.bottom = MLP(inputs, config.bottom_layers, config.dropout)
        self.outputs = self.bottom.outputs
        self.fork = fork

    def shared_modules(self) -> list[nn.Module]:
        """What all tasks share."""
        return [self.bottom]

    def forward(self, x: Tensor) -> list[Tensor]:
        """K tensors (B, outputs) from (B, inputs)."""
        return list(self.fork(self.bottom(x)))
