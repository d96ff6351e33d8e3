"""Dense building blocks: a plain network, and several of them side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Sequential):
    """Linear, ReLU and dropout for each of `layers`: (B, inputs) -> (B, outputs); no layers: the input itself."""

    def __init__(self, inputs: int, layers: Sequence[int], dropout: float = 0.0) -> None:
        sizes = [inputs, *layers]
        steps: list[nn.Module] = []
        for before, after in pairwise(sizes):
            steps += [nn.Linear(before, after), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        super().__init__(*steps)
        self.outputs = sizes[-1]


class Experts(nn.Module):
    """E networks of the same shape over one input: (B, inputs) -> (B, E, outputs).

    All first layers are one matrix product, all further ones one batched product each; every expert starts as an MLP of its own would.
    """

    def __init__(self, inputs: int, experts: int, layers: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.experts, self.outputs = experts, layers[-1]
        self.first = nn.Linear(inputs, experts * layers[0])
        sizes = list(pairwise(layers))
        self.weights = nn.ParameterList(_uniform((experts, before, after), before) for before, after in sizes)
        self.biases = nn.ParameterList(_uniform((experts, 1, after), before) for before, after in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, E, outputs) from (B, inputs)."""
        hidden = self.dropout(functional.relu(self.first(x))).unflatten(1, (self.experts, -1)).transpose(0, 1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self.dropout(functional.relu(torch.baddbmm(bias, hidden, weight)))
        return hidden.transpose(0, 1)


def mix(gate: nn.Module, x: Tensor, experts: Tensor) -> Tensor:
    """Sum of `experts` (B, E, H), each row weighted by softmax(gate(x)), x (B, D): (B, H)."""
    # Five times as fast as a batched product of (1, E) by (E, H) on a CPU.
    return (torch.softmax(gate(x), dim=1).unsqueeze(2) * experts).sum(dim=1)


def _uniform(shape: tuple[int, ...], inputs: int) -> nn.Parameter:
    """The start of nn.Linear: uniform in +-1/sqrt(inputs)."""
    bound = 1 / math.sqrt(inputs)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
