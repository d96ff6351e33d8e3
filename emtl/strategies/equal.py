"""Equal weights."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl.strategy import Needs, Strategy, Tasks, register


@register("equal")
class Equal(Strategy):
    """Every task has weight 1: the plain sum of the losses, which every other strategy has to beat."""

    needs = Needs.LOSSES

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) ones."""
        return torch.ones_like(tasks.losses)
