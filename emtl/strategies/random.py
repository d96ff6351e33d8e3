"""Random loss weighting."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import draws, masked, validate
from emtl.strategy import Needs, Strategy, Tasks, register


@register("random")
class Random(Strategy):
    """Random loss weighting (Lin et al. 2022, arXiv:2111.10603): w = K softmax(z), z ~ N(0, I), drawn anew in every step.

    The paper's weights sum to 1, ours to K: its learning rate is K times ours. The draw is a function of `seed` and of the number of
    earlier steps alone, so it is the same on every rank and after a resume, without communication. With tasks absent, those
    present get the draw that they would get alone, in their order. Losses of any value are taken, and none is looked at.

    Args:
        num_tasks: K.
        seed: of the draws, an integer in [0, 2^63).
    """

    needs = Needs.LOSSES
    step: Tensor

    def __init__(self, num_tasks: int, seed: int = 0) -> None:
        super().__init__(num_tasks)
        self.seed = validate.integer("seed", seed, 0, (1 << 63) - 1)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) softmax of this step's draw."""
        place = (tasks.present.cumsum(0) - 1).clamp(min=0)
        logits = draws.normal(self.seed, self.step, self.num_tasks)[place]
        self.step += tasks.present.any()
        return masked.softmax(logits, tasks.present)
