"""Fast adaptive multitask optimization."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.adam import Adam
from emtl.strategy import Needs, Strategy, Tasks, register


@register("famo")
class FAMO(Strategy):
    """FAMO (Liu et al. 2023, arXiv:2306.03792): all log losses fall at about the same rate, without the tasks' gradients.

    z = softmax(xi), w_k ~ z_k / l_k. xi learns, by Adam with weight decay, from what a step did to the losses of its own batch:
    d/dxi = J' delta, J the Jacobian of the softmax and delta_k = log l_k(before) - log l_k(after the update); a task that fell
    faster loses weight.

    What a step did is known after the update alone. There are two ways:
    - `after_step(losses)` with the same batch's losses, evaluated again once the parameters have changed: the paper's algorithm, at
      the price of one more forward.
    - Without that call, the next step's losses stand for it. Deviation: the next batch is another batch. Its noise is not small, but
      it cancels from step to step, because consecutive differences of log losses telescope.

    Further deviations: the official code's log(l + 1e-8) is log l, a loss below 1e-12 of the largest counting as that, so that constant
    factors on losses change no share; its clipping of the gradient at norm 1 is the training loop's business. The paper's weights
    sum to 1, ours to K. The softmax of a step goes over the tasks whose fall is known. A negative loss is refused.

    Args:
        num_tasks: K.
        lr: learning rate of xi.
        decay: weight decay of xi, within Adam.

    Raises (from `weights` and `after_step`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False
    logits: Tensor
    before: Tensor
    waiting: Tensor

    def __init__(self, num_tasks: int, lr: float = 0.025, decay: float = 1e-3) -> None:
        super().__init__(num_tasks)
        self.register_buffer("logits", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("before", torch.zeros(num_tasks, dtype=torch.float64))
        self.register_buffer("waiting", torch.zeros(num_tasks, dtype=torch.bool))
        self.adam = Adam(num_tasks, validate.positive("lr", lr), validate.number("decay", decay, 0))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) z / l."""
        taken = tasks.present & tasks.losses.isfinite()
        logs = masked.log(tasks.losses, taken)
        self._learn(logs, self.waiting & taken)
        self.before.copy_(torch.where(taken, logs, self.before))
        self.waiting |= taken
        return masked.softmax(self.logits - logs, tasks.present)

    @torch.no_grad()
    def after_step(self, losses: Tensor) -> None:
        """Learns from the (K,) losses of the step's own batch after the update; with several ranks, from their mean over ranks."""
        if losses.shape != (self.num_tasks,):
            raise ValueError(f"losses must have shape ({self.num_tasks},), but got {tuple(losses.shape)}")
        self._refuse_negative(losses)
        losses = losses.double()
        known = self.waiting & (losses != 0) & losses.isfinite()
        self._learn(masked.log(losses, known), known)
        self.waiting &= ~known

    def _learn(self, logs: Tensor, known: Tensor) -> None:
        """One step of Adam on xi from the fall of the log losses of the tasks `known`."""
        shares = masked.softmax(self.logits, known)
        fall = torch.where(known, self.before - logs, 0.0)
        self.adam.update(self.logits, shares * (fall - (shares * fall).sum()), known)
