"""Every strategy, and problems to put to them."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

CASES: list[tuple[str, dict[str, Any]]] = [
    ("equal", {}),
    ("normalized", {}),
    ("emtl", {"beta": 0.0}),
    ("emtl", {"alpha": 0.0, "beta": 0.9}),
    ("emtl", {"regularizer": "chi2", "rho": 0.1, "beta": 0.0}),
    ("emtl", {"regularizer": "chi2", "rho": 2.0, "beta": 0.9}),
    ("emtl", {"regularizer": "variance", "lam": 0.5, "beta": 0.9}),
    ("emtl", {"regularizer": "variance", "lam": 20.0, "beta": 0.0}),
    ("emtl", {"regularizer": "kl", "rho": 0.1, "beta": 0.0}),
    ("emtl", {"regularizer": "kl", "rho": 0.8, "beta": 0.9}),
]
EMTL_CASES = [case for case in CASES if case[0] == "emtl"]


def label(case: tuple[str, dict[str, Any]]) -> str:
    return "-".join([case[0], *(str(value) for value in case[1].values())])


@st.composite
def problems(draw: st.DrawFn, low: int = 1, high: int = 6, spread: float = 3.0) -> tuple[Tensor, Tensor]:
    """(K,) losses and (K, 8) gradients, with losses and norms spread over 10^-spread .. 10^spread."""
    tasks = draw(st.integers(low, high))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    powers = torch.tensor(draw(st.lists(st.floats(-spread, spread), min_size=2 * tasks, max_size=2 * tasks)), dtype=torch.float64)
    gradients = torch.nn.functional.normalize(torch.randn(tasks, 8, generator=generator, dtype=torch.float64), dim=1)
    return 10 ** powers[:tasks], gradients * 10 ** powers[tasks:, None]


def gram(gradients: Tensor) -> Tensor:
    return gradients @ gradients.T
