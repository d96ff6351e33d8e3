"""TorchJD (a development dependency) as a second opinion on the strategies that both have.

Compared are directions of the update on well-conditioned problems, since our weights are scaled to sum K. TorchJD's MGDA stops its
Frank-Wolfe early and its projections regularise relative to the trace, so tolerances are theirs.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchjd import aggregation

import emtl

TASKS, WIDTH = 3, 10
# name -> (TorchJD's aggregator, relative tolerance of the direction)
ORACLES: dict[str, tuple[Any, float]] = {
    "aligned": (aggregation.AlignedMTL(), 1e-6),
    "config": (aggregation.ConFIG(), 1e-6),
    "dualproj": (aggregation.DualProj(), 5e-3),
    "equal": (aggregation.Sum(), 1e-9),
    "imtl_g": (aggregation.IMTLG(), 1e-6),
    "mgda": (aggregation.MGDA(epsilon=1e-9, max_iters=20_000), 5e-3),
    "upgrad": (aggregation.UPGrad(), 5e-3),
}


def jacobian(seed: int, scales: list[float]) -> Tensor:
    """(K, P) task gradients, one scale a row."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(TASKS, WIDTH, generator=generator, dtype=torch.float64) * torch.tensor(scales, dtype=torch.float64).unsqueeze(1)


def direction(update: Tensor) -> Tensor:
    """The update with length 1."""
    return update / update.norm()


@pytest.mark.parametrize("name", ORACLES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scales=st.lists(st.floats(0.5, 2), min_size=TASKS, max_size=TASKS))
def test_the_update_points_where_torchjds_does(name: str, seed: int, scales: list[float]) -> None:
    oracle, tolerance = ORACLES[name]
    gradients = jacobian(seed, scales)
    weights = emtl.create(name, TASKS).weights(torch.ones(TASKS, dtype=torch.float64), gradients @ gradients.T)
    expected = oracle(gradients)
    torch.testing.assert_close(direction(weights @ gradients), direction(expected), rtol=0, atol=tolerance)
