"""Excess risks as weights."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.by_feature import ByFeature
from emtl.strategy import Needs, Strategy, Tasks, register

EPSILON = 1e-7
CAP = 1e6
"""How far a task's excess risk may have risen above its first one."""


@register("excess")
class Excess(Strategy):
    """ExcessMTL (He et al., ICML 2024, arXiv:2402.02009): weight goes to the tasks that are furthest from their own optimum.

    The excess risk of task k is estimated as E_k = sum_f g_kf^2 / h_kf, h_kf = sqrt(sum over steps of g_kf^2 + 1e-7), and weights
    follow w_k <- w_k exp(robust_step_size E_k / E_k of the first step), scaled.

    Deviations: the paper takes g at all shared parameters, which would cost K backwards and K copies of their size. Here g_kf is the
    gradient at the fork summed over the rows of the global batch, for each feature: that of a bias added to the shared tensor, the
    only parameter-like quantity there. It is a mean over examples, as the estimate needs: it vanishes at the task's optimum. What
    cancels over rows isn't seen. Weights are scaled to sum K. E_k / E_k of the first step counts as 1e6 at most. A task absent keeps
    its state; it starts at its first step. Only for scope `representation`, not `lagged`.

    Args:
        num_tasks: K.
        robust_step_size: step of the weights, at least 0.
    """

    needs = Needs.TENSORS
    logits: Tensor
    first: Tensor

    def __init__(self, num_tasks: int, robust_step_size: float = 1e-2) -> None:
        super().__init__(num_tasks)
        self.robust_step_size = validate.number("robust_step_size", robust_step_size, 0)
        self.squares = ByFeature(num_tasks)
        self.register_buffer("logits", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("first", torch.zeros(num_tasks, dtype=torch.float64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) softmax of the summed excess risks."""
        assert tasks.features is not None
        taken = tasks.present & tasks.features.isfinite().all(1)
        squares = torch.where(taken[:, None], tasks.features.square(), 0.0)
        self.squares.values = self.squares.sized(squares) + squares
        excess = (squares / (self.squares.values + EPSILON).sqrt()).sum(1)
        self.first.copy_(torch.where(taken & (self.first == 0), excess, self.first))
        relative = (excess / torch.where(self.first == 0, 1.0, self.first)).clamp(max=CAP)
        self.logits += self.robust_step_size * torch.where(taken, relative, 0.0)
        return masked.softmax(self.logits, tasks.present)
