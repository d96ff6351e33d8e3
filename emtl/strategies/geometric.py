"""Geometric loss strategy."""

from __future__ import annotations

from emtl.strategies.log import Log
from emtl.strategy import register


@register("geometric")
class Geometric(Log):
    """Geometric loss strategy (Chennupati et al. 2019, arXiv:1904.08492): the gradient of GLS = (prod_k l_k)^(1/K).

    That is w_k = GLS / (K l_k). The factor GLS / K is common to all tasks, and scaling to sum K takes it away, so the weights are
    those of `log`. What the paper has besides is a step that shrinks with the geometric mean of the losses, which here is left to
    the learning rate. Taken in log space: a product of many losses under- or overflows.

    A loss below 1e-12 of the largest, 0 for one (whose GLS has no gradient), counts as that; a negative one is refused.

    Raises (from `weights`):
        ValueError: a loss is negative.
    """
