"""Log losses."""

from __future__ import annotations

from torch import Tensor

from emtl import masked
from emtl.strategy import Needs, Strategy, Tasks, register


@register("log")
class Log(Strategy):
    """The gradient of sum_k log l_k, which no constant factor on a loss changes: w_k ~ 1 / l_k.

    The first half of DB-MTL (Lin et al. 2023, arXiv:2308.12029) and of IMTL-L (Liu et al. 2021). Unscaled, these weights grow as
    the losses fall, and steps with them; ours sum to K, so the learning rate alone sets the step.

    A loss below 1e-12 of the largest, 0 for one, counts as that (`masked.LOG_CAP`); a negative one is refused.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """

    needs = Needs.LOSSES
    takes_negative_losses = False

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) reciprocal losses."""
        return masked.softmax(-masked.log(tasks.losses, tasks.present), tasks.present)
