"""GradNorm."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.adam import Adam
from emtl.strategy import Strategy, Tasks, register

SMALLEST = 1e-12
"""Floor of a weight: the next gradient can lift it again, and the tasks present never sum to 0."""
LARGEST = 1e12
"""Bound of a relative training rate."""


@register("gradnorm")
class GradNorm(Strategy):
    """GradNorm (Chen et al. 2018, arXiv:1711.02257): weights are learnt so that gradients are as long as training rates say.

    A step goes down on sum_k |w_k s_k - mean(w s) r_k^alpha| over w, the target held constant, so d/dw_k = s_k sign(w_k s_k - target_k);
    then w is scaled to sum K, as in the paper. r_k = (l_k / l_k0) / mean of these, l_k0 the task's first loss. A step uses the weights
    from before its own update.

    Norms s_k are from the diagonal of the Gram matrix, at the fork: the last shared representation, where the paper takes the last
    shared layer's parameters (scope `parameters` takes them at those given). Deviations: w has an Adam of its own in closed form,
    and no graph from step to step; it is floored at 1e-12 before it is scaled, where the paper's may become negative. Tasks absent
    keep their weight, and those present share theirs. A first loss of 0 is passed over (rate 1 till then); a negative loss is refused.

    Args:
        num_tasks: K.
        alpha: strength of the pull towards a common training rate, at least 0; 0 makes all gradients as long.
        lr: learning rate of w.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    takes_negative_losses = False
    learnt: Tensor
    first_losses: Tensor

    def __init__(self, num_tasks: int, alpha: float = 1.5, lr: float = 0.025) -> None:
        super().__init__(num_tasks)
        self.alpha = validate.number("alpha", alpha, 0)
        self.register_buffer("learnt", torch.ones(num_tasks, dtype=torch.float64))
        self.register_buffer("first_losses", torch.zeros(num_tasks, dtype=torch.float64))
        self.adam = Adam(num_tasks, validate.positive("lr", lr))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) learnt weights, which then take this step's update."""
        weights = self.learnt.clone()
        taken = tasks.present & tasks.losses.isfinite() & tasks.norms.isfinite()
        self.first_losses.copy_(torch.where((self.first_losses == 0) & taken, tasks.losses, self.first_losses))
        lengths = weights * tasks.norms
        target = masked.mean(lengths, taken) * self._rates(tasks.losses, taken) ** self.alpha
        self.adam.update(self.learnt, tasks.norms * (lengths - target).sign(), taken)
        self._rescale(masked.total(weights, taken), taken)
        return weights

    def _rates(self, losses: Tensor, taken: Tensor) -> Tensor:
        """(K,) relative inverse training rates."""
        left = torch.where(self.first_losses > 0, losses / self.first_losses, 1.0)
        average = masked.mean(left, taken)
        return torch.where(average > 0, left / average, 1.0).clamp(max=LARGEST)

    def _rescale(self, total: Tensor, taken: Tensor) -> None:
        """Brings the weights of the tasks taken back to their sum before the update."""
        floored = self.learnt.clamp(min=SMALLEST)
        self.learnt.copy_(torch.where(taken, floored * (total / masked.total(floored, taken)), self.learnt))
