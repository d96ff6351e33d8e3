"""Weights that never change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emtl import validate
from emtl.strategy import Needs, Strategy, Tasks, register


@register("fixed")
class Fixed(Strategy):
    """Weights from the configuration: tuned linear scalarisation, an honest rival (Xin et al. 2022, arXiv:2209.11379).

    w_k ~ `weights`[k]. Only their ratios count, because weights are scaled to sum K: their common size would be a learning rate.
    Losses of any value are taken, and none is looked at.

    Args:
        num_tasks: K.
        weights: K positive numbers, in the order of the tasks; by default ones, which is `equal`.
    """

    needs = Needs.LOSSES
    given: Tensor

    def __init__(self, num_tasks: int, weights: Sequence[float] | None = None) -> None:
        super().__init__(num_tasks)
        given = torch.tensor(validate.shares("weights", weights, num_tasks), dtype=torch.float64)
        self.register_buffer("given", given, persistent=False)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) the given numbers."""
        return self.given
