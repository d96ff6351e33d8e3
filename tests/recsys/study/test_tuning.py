"""Tuned weights, on functions whose best weights are known."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recsys.study.tuning import Space, tune

SPACE = Space(["a", "b", "c"], (0.01, 100.0), {"train.dense.learning_rate": [0.1, 0.01]}, {"mto.every": 2})


def searched(trials: int, seed: int = 0, failing: int | None = None) -> list[tuple[dict[str, Any], float]]:
    """All trials of a search for weights 1 : 10 : 0.1 and the second learning rate."""
    seen: list[tuple[dict[str, Any], float]] = []

    def values(settings: list[dict[str, Any]]) -> list[float]:
        for setting in settings:
            _, second, third = setting["mto.weights"]
            distance = abs(math.log10(second) - 1) + abs(math.log10(third) + 1) + (setting["train.dense.learning_rate"] == 0.1)
            seen.append((setting, math.nan if len(seen) == failing else -distance))
        return [value for _, value in seen[-len(settings) :]]

    tune(SPACE, trials, seed, values)
    return seen


def test_equal_weights_are_tried_first_and_the_budget_is_kept() -> None:
    found = searched(7)
    assert len(found) == 7
    assert found[0][0] == {"mto.every": 2, "train.dense.learning_rate": 0.1, "mto.weights": [1.0, 1.0, 1.0]}
    assert all(setting["mto.every"] == 2 and setting["mto.weights"][0] == 1 for setting, _ in found)
    assert all(0.01 <= weight <= 100 for setting, _ in found for weight in setting["mto.weights"])


def test_a_search_that_is_run_again_proposes_the_same() -> None:
    assert searched(14) == searched(14) and searched(14)[:8] == searched(8)
    assert searched(14) != searched(14, seed=1)


def test_the_sampler_learns_what_is_better() -> None:
    best = max(value for _, value in searched(60))
    drawn = max(value for _, value in searched(6))
    assert best > -0.5 > drawn


def test_a_failed_trial_does_not_end_the_search() -> None:
    found = searched(10, failing=2)
    assert len(found) == 10 and math.isnan(found[2][1])


@pytest.mark.parametrize("trials", [1, 4, 5])
def test_any_number_of_trials(trials: int) -> None:
    assert len(searched(trials)) == trials
