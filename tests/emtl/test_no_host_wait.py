"""Nothing in a step reads a value back: on the `meta` device, which has no values, every such read raises."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from strategy_cases import CASES, label

import emtl
from emtl.fork import Step, _combine

META = torch.device("meta")


@pytest.mark.parametrize("case", CASES, ids=label)
def test_a_backward_of_the_fork(case: tuple[str, dict[str, Any]]) -> None:
    balancer = emtl.Balancer(emtl.create(case[0], 3, **case[1]), observe=True)
    step = Step(balancer._weigh, needs_gram=True, losses=torch.empty(3, device=META), scale=torch.empty((), device=META))
    gradients = [[torch.empty(5, 4, device=META), torch.empty(5, 2, device=META, dtype=torch.bfloat16)] for _ in range(3)]
    sums = _combine(step, gradients, META)
    assert [total.shape for total in sums if total is not None] == [(5, 4), (5, 2)]
    assert balancer.weights is not None and balancer.weights.device == META and balancer.gram is not None
    found = emtl.equity(torch.empty(3, device=META), balancer.gram, balancer.weights)
    assert found.variance.shape == ()


def test_the_meta_device_would_notice() -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        bool(torch.empty(3, device=META).any())
