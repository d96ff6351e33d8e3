"""Names and options: what is refused, and with which words."""

from __future__ import annotations

import doctest

import pytest
import torch

import emtl


def test_every_strategy_has_a_docstring_and_can_be_made_with_its_defaults() -> None:
    for name in emtl.names():
        strategy = emtl.create(name, num_tasks=3)
        assert type(strategy).__doc__
        assert set(emtl.options(name)) == set(emtl.options(name)) - {"self", "num_tasks"}


def test_defaults_of_emtl() -> None:
    assert emtl.options("emtl") == {"regularizer": "log_variance", "rho": 0.1, "lam": 0.5, "alpha": 0.5, "beta": 0.9}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("emtll", {}, "unknown strategy 'emtll'; the nearest is 'emtl'"),
        ("emtl", {"alhpa": 1}, "unknown option 'alhpa' of strategy 'emtl'; the nearest is 'alpha'"),
        ("equal", {"alpha": 1}, "unknown option 'alpha' of strategy 'equal'; it has none"),
        ("emtl", {"alpha": 1.5}, "alpha must be in [0, 1], but got 1.5"),
        ("emtl", {"alpha": "x"}, "alpha must be a finite number, but got 'x'"),
        ("emtl", {"alpha": True}, "alpha must be a finite number, but got True"),
        ("emtl", {"alpha": float("nan")}, "alpha must be a finite number, but got nan"),
        ("emtl", {"beta": 1.0}, "beta must be in [0, 1), but got 1.0"),
        ("emtl", {"rho": -0.1}, "rho must be non-negative, but got -0.1"),
        ("emtl", {"lam": -1}, "lam must be non-negative, but got -1"),
        (
            "emtl",
            {"regularizer": "chi"},
            "regularizer must be one of chi2, variance, kl, log_variance, but got 'chi'; the nearest is 'chi2'",
        ),
    ],
)
def test_refusals_are_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        emtl.check_options(name, 3, options)
    assert str(refusal.value) == message


@pytest.mark.parametrize("num_tasks", [0, -1, 2.0, True])
def test_number_of_tasks(num_tasks: int) -> None:
    with pytest.raises(ValueError, match="num_tasks must be an integer of at least 1"):
        emtl.create("equal", num_tasks)


def test_a_new_strategy_is_a_class_with_a_name() -> None:
    @emtl.register("first_only")
    class FirstOnly(emtl.Strategy):
        """All for the first task."""

        def __init__(self, num_tasks: int, first: float) -> None:
            super().__init__(num_tasks)
            self.first = first

        def solve(self, tasks: emtl.Tasks) -> torch.Tensor:
            return self.first * (torch.arange(len(tasks.losses)) == 0)

    try:
        with pytest.raises(ValueError, match="needs the option 'first'"):
            emtl.create("first_only", 2)
        weights = emtl.create("first_only", 2, first=0.5).weights(torch.ones(2), torch.eye(2))
        assert weights.tolist() == [2.0, 0.0]
        with pytest.raises(ValueError, match="two strategies are called 'first_only'"):
            emtl.register("first_only")(FirstOnly)
    finally:
        from emtl import strategy

        del strategy._registry["first_only"]


def test_shapes_are_checked() -> None:
    strategy = emtl.create("emtl", 3)
    with pytest.raises(ValueError, match=r"losses must have shape \(3,\), but got \(2,\)"):
        strategy.weights(torch.ones(2), torch.eye(3))
    with pytest.raises(ValueError, match=r"gram must have shape \(3, 3\), but got \(2, 2\)"):
        strategy.weights(torch.ones(3), torch.eye(2))
    with pytest.raises(ValueError, match="EMTL needs the Gram matrix"):
        strategy.weights(torch.ones(3))


def test_the_example_of_the_package_runs() -> None:
    outcome = doctest.testmod(emtl)
    assert outcome.attempted > 0
    assert outcome.failed == 0
