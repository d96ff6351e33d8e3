"""A moving average of any other strategy's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from emtl import validate
from emtl.strategy import Strategy, Tasks, create, options, register


@register("smoothed")
class Smoothed(Strategy):
    """The weights of another strategy, averaged over steps: w_t = a w_(t-1) + (1 - a) w, as in CR-MOGM (Zhou et al., NeurIPS 2022).

    The other one is named by `of`, and its options are given beside: `emtl.create("smoothed", num_tasks=3, of="emtl", beta=0.0, a=0.9)`,
    or in a configuration `mto: {strategy: smoothed, of: emtl, beta: 0.0, a: 0.9}`. It can be any strategy, except
    `smoothed` itself and those that weigh each feature. It sees what it would see alone, and refuses what it would refuse.

    The average starts at equal weights, as in the paper. It is over weights scaled to a mean of 1 over the tasks present, so that it
    doesn't matter how many are absent; a task absent keeps its average. Weights that aren't finite don't enter it, and are handed on.

    Args:
        num_tasks: K.
        of: name of the strategy.
        a: what a step keeps of the earlier weights, in [0, 1).
        **given: options of that strategy.
    """

    average: Tensor

    def __init__(self, num_tasks: int, of: str = "emtl", a: float = 0.9, **given: Any) -> None:
        super().__init__(num_tasks)
        self.a = validate.number("a", a, 0, 1, open_high=True)
        self.inner = create(_known(of), num_tasks, **given)
        if self.inner.coordinatewise:
            raise ValueError(f"of must be a strategy that gives one weight a task, but got {of!r}")
        self.needs, self.signed = self.inner.needs, self.inner.signed
        self.register_buffer("average", torch.ones(num_tasks, dtype=torch.float64))

    @classmethod
    def accepted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Its own options and those of the strategy that `given` names."""
        own = super().accepted(given)
        return {**own, **options(_known(given.get("of", own["of"])))}

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) averages, with this step's weights taken in."""
        weights = self.inner.weights(tasks.losses, tasks.gram, tasks.features)
        finite = weights.isfinite()
        self.average.copy_(torch.where(tasks.present & finite, torch.lerp(weights, self.average, self.a), self.average))
        return torch.where(finite, self.average, weights)


def _known(name: object) -> str:
    if not isinstance(name, str) or name == "smoothed":
        raise ValueError(f"of must be the name of another strategy, but got {name!r}")
    return name
