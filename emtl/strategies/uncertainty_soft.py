"""Soft optimal uncertainty weighting."""

from __future__ import annotations

from torch import Tensor

from emtl import masked, validate
from emtl.strategy import Needs, Strategy, Tasks, register

SMALLEST, LARGEST = 1e-300, 1e300
"""Bounds of losses and of 1 / (T l), so that differences of the latter are finite."""


@register("uncertainty_soft")
class UncertaintySoft(Strategy):
    """Soft optimal uncertainty weighting, UW-SO (Kirchdorfer et al. 2024, arXiv:2408.07985): w = K softmax(1 / (T l)).

    1 / l is the optimum of `uncertainty` in closed form; the softmax, over its temperature T, keeps the weights bounded. The paper's
    weights sum to 1, ours to K: its learning rate is K times ours. Weights depend on the losses' common scale: a T for losses near
    1 lets the smallest of losses near 0.01 take all. A loss of 0 takes all weight (two share it); a negative one is refused.

    Args:
        num_tasks: K.
        T: temperature, above 0; the paper tunes it.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False

    def __init__(self, num_tasks: int, T: float = 1.0) -> None:
        super().__init__(num_tasks)
        self.temperature = validate.positive("T", T)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) softmax of the reciprocal losses."""
        logits = (1 / tasks.losses.clamp(min=SMALLEST) / self.temperature).clamp(max=LARGEST)
        return masked.softmax(logits, tasks.present)
