"""The step metrics, the clock, the learning-rate course and what is remembered for figures."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import emtl
from recsys.config import LearningRate
from recsys.errors import JobError
from recsys.training.clock import Clock
from recsys.training.optimizers import learning_rate
from recsys.training.recording import MOST_POINTS, Recording
from recsys.training.telemetry import Telemetry


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_task_and_step(value: float) -> None:
    telemetry = Telemetry(["ctr", "cvr"])
    telemetry.push(6, torch.tensor([0.5, 0.2]), torch.ones(2))
    with pytest.raises(JobError, match="the loss of cvr is not finite in step 7"):
        telemetry.push(7, torch.tensor([0.5, value]), torch.ones(2))


def test_metrics_are_means_over_the_window() -> None:
    telemetry = Telemetry(["ctr", "cvr"], window=2)
    assert telemetry.metrics() == {}
    for step in range(3):
        telemetry.push(step, torch.tensor([step, 10.0 * step]), torch.tensor([1.5, 0.5]))
    assert telemetry.metrics() == {"ctr/loss": 1.5, "cvr/loss": 15.0, "ctr/weight": 1.5, "cvr/weight": 0.5}


def test_equity_is_that_of_the_last_step_with_a_gram_matrix() -> None:
    """Norms 2 and 3, cosine -1/2, contributions 1/2 and 2, shares 1/4 and 3/4."""
    telemetry = Telemetry(["ctr", "cvr"])
    telemetry.push(0, torch.tensor([1.0, 6.0]), torch.tensor([1.0, 2.0]), torch.tensor([[4.0, -3.0], [-3.0, 9.0]]))
    telemetry.push(1, torch.tensor([1.0, 6.0]), torch.tensor([1.0, 2.0]))
    found = {name: value for name, value in telemetry.metrics().items() if not name.endswith(("loss", "weight"))}
    assert found == {
        "ctr/contribution": 0.5,
        "cvr/contribution": 2.0,
        "ctr/share": 0.25,
        "cvr/share": 0.75,
        "ctr/gradient_norm": 2.0,
        "cvr/gradient_norm": 3.0,
        "mto/contribution_variance": pytest.approx(0.75**2 / 1.25**2),
        "mto/conflict": 1.0,
        "mto/cosine/ctr-cvr": -0.5,
    }


@given(st.integers(0, 50), st.sampled_from(["constant", "linear", "cosine"]), st.integers(51, 500))
def test_learning_rates_rise_and_then_never_do_again(warmup: int, schedule: str, total: int) -> None:
    config = LearningRate(learning_rate=0.5, warmup_steps=warmup, schedule=schedule)  # type: ignore[arg-type]
    factors = [2 * learning_rate(config, step, total) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert all(a < b for a, b in pairwise(factors[:warmup]))
    assert factors[warmup] == 1 and all(a >= b for a, b in pairwise(factors[warmup:]))
    assert factors[total] == pytest.approx(1.0 if schedule == "constant" else 0.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.booleans())
def test_the_clock_remembers_the_best(values: list[float], higher: bool) -> None:
    clock = Clock()
    for step, value in enumerate(values):
        clock.step = step
        clock.record(value, {"m": value}, higher)
    assert clock.best == (max(values) if higher else min(values)) == clock.best_metrics["m"]
    assert clock.best_step == values.index(clock.best) and clock.without_gain == len(values) - 1 - clock.best_step
    assert Clock(**clock.to_json()) == clock


def test_a_value_that_is_no_number_is_never_better() -> None:
    clock = Clock()
    assert clock.record(math.nan, {}, True)
    assert clock.record(0.5, {}, True)
    assert not clock.record(math.nan, {}, True) and clock.best == 0.5


@settings(max_examples=10)
@given(st.integers(1, 20_000), st.integers(1, 7))
def test_a_recording_of_any_length_stays_small_and_even(points: int, stride: int) -> None:
    recording = Recording()
    for step in range(0, points * stride, stride):
        recording.note_step(step, ["a"], {"a/loss": float(step), "a/weight": 1.0, "a/contribution": float(step)})
    assert len(recording.steps) <= MOST_POINTS and recording.steps[0] == 0
    assert len(set(torch.tensor(recording.steps).diff().tolist())) <= 1
    assert [loss for (loss,) in recording.losses] == recording.steps == [value for (value,) in recording.contributions]
    assert len(recording.weights) == len(recording.cosines) == len(recording.steps)
    assert Recording(**recording.to_json()) == recording


def test_failed_solves_are_told() -> None:
    telemetry = Telemetry(["ctr", "cvr"])
    telemetry.push(0, torch.ones(2), torch.ones(2), None, torch.tensor(3))
    telemetry.push(1, torch.ones(2), torch.ones(2))
    assert telemetry.metrics()["mto/failures"] == 3


def test_a_balancer_counts_the_failed_solves_of_what_it_wraps() -> None:
    plain, wrapped = (emtl.Balancer(emtl.create(name, 2, **options)) for name, options in (("equal", {}), ("smoothed", {"of": "nash"})))
    assert plain.failures() == wrapped.failures() == 0
    next(buffer for name, buffer in wrapped.strategy.named_buffers() if name.endswith("failures")).fill_(2)
    assert wrapped.failures() == 2
