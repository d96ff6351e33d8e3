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
    ("balancer", {"decay": 0.9}),
    ("bandit", {}),
    ("bandit", {"rho": 5.0, "eta": 3.0}),
    ("chebyshev", {"mu": 0.3, "warmup": 1}),
    ("dwa", {"window": 1}),
    ("famo", {"decay": 0.1}),
    ("fixed", {}),
    ("geometric", {}),
    ("gradnorm", {"lr": 0.3}),
    ("log", {}),
    ("metabalance", {}),
    ("random", {"seed": 7}),
    ("smoothed", {"of": "emtl", "beta": 0.5, "a": 0.7}),
    ("uncertainty", {"lr": 0.1}),
    ("uncertainty_soft", {"T": 2.0}),
    ("aligned", {}),
    ("cagrad", {"c": 0.4}),
    ("config", {}),
    ("dbmtl", {}),
    ("dualproj", {}),
    ("fairgrad", {"alpha": 2.0}),
    ("fairgrad", {"alpha": 0.5}),
    ("gradcraft", {"tau": 0.5}),
    ("gradvac", {"beta": 0.5}),
    ("imtl_g", {}),
    ("mgda", {}),
    ("mgda", {"normalization": "l2"}),
    ("multibalance", {}),
    ("nash", {}),
    ("pcgrad", {}),
    ("pe_ltr", {"c": 0.05}),
    ("upgrad", {}),
]
TENSOR_CASES: list[tuple[str, dict[str, Any]]] = [("excess", {}), ("graddrop", {"leak": 0.1}), ("moco", {})]
"""Those that see the gradients at the fork, which only a balancer has."""
EMTL_CASES = [case for case in CASES if case[0] == "emtl"]
DEPEND_ON_ORDER = {"gradvac", "pcgrad", "metabalance", "random"}
"""Strategies whose weights aren't permuted with the tasks: one task is the target, or draws go by position."""
DEPEND_ON_SCALE = {
    "aligned",
    "cagrad",
    "dualproj",
    "fairgrad",
    "gradcraft",
    "gradvac",
    "mgda",
    "pcgrad",
    "pe_ltr",
    "upgrad",
    "bandit",
    "dwa",
    "equal",
    "fixed",
    "gradnorm",
    "metabalance",
    "random",
    "smoothed",
    "uncertainty",
    "uncertainty_soft",
}
"""Strategies under which a factor on a loss changes the task's share of the update, in the first step at least."""
REFUSE_NEGATIVE = {
    "dbmtl",
    "chebyshev",
    "dwa",
    "emtl",
    "famo",
    "geometric",
    "gradnorm",
    "log",
    "uncertainty",
    "uncertainty_soft",
    "smoothed",
}
"""Strategies that take no negative loss (`smoothed` because the one in the cases doesn't)."""


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
