"""MetaBalance."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.averages import MovingAverage
from emtl.strategy import Strategy, Tasks, register

CAP = 1e12
"""How many times smaller than the largest a gradient norm may be before it counts as that small."""


@register("metabalance")
class MetaBalance(Strategy):
    """MetaBalance (He et al. 2022, arXiv:2203.06801): auxiliary gradients are brought near the target task's length.

    w_k = r m_0 / m_k + 1 - r, with m the moving averages of the norms s and task 0 the `target`; for the target itself that is 1.

    Deviations: the official code balances each parameter tensor by itself; here there is one norm, over all that is shared. Its
    averages start at 0; ours are corrected for that, which cancels unless a task has been absent. Weights are scaled to sum K, so
    the target's is not 1. While the target is absent its last average stands; before it was ever present nothing is balanced.
    Norms below 1e-12 of the largest count as that. Losses of any value are taken, and none is looked at.

    Args:
        num_tasks: K.
        r: relax factor, in [0, 1]; 0 is `equal`, 1 makes all gradients as long as the target's.
        beta: moving average of the norms, in [0, 1).
        target: position of the target task.
    """

    def __init__(self, num_tasks: int, r: float = 0.7, beta: float = 0.9, target: int = 0) -> None:
        super().__init__(num_tasks)
        self.r = validate.number("r", r, 0, 1)
        self.target = validate.integer("target", target, 0, num_tasks - 1)
        self.norms = MovingAverage(num_tasks, beta)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) r m_0 / m + 1 - r."""
        norms = self.norms.update(tasks.norms, tasks.present)
        lengths = norms.maximum(masked.largest(norms, tasks.present) / CAP)
        ratios = torch.where(self.norms.updates[self.target] > 0, norms[self.target] / lengths, 1.0)
        return self.r * ratios + 1 - self.r
