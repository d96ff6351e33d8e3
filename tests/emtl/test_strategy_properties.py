"""What holds for every strategy, whatever it computes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from strategy_cases import CASES, DEPEND_ON_ORDER, DEPEND_ON_SCALE, EMTL_CASES, REFUSE_NEGATIVE, TENSOR_CASES, gram, label, problems
from torch import Tensor

import emtl

Case = tuple[str, dict[str, Any]]
Problem = tuple[Tensor, Tensor]
every_strategy = pytest.mark.parametrize("case", CASES, ids=label)
quick = settings(max_examples=15, deadline=None)


def make(case: Case, tasks: int) -> emtl.Strategy:
    return emtl.create(case[0], tasks, **case[1])


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-8) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


def test_every_strategy_is_among_the_cases() -> None:
    assert {name for name, _ in CASES + TENSOR_CASES} == set(emtl.names())


@every_strategy
@quick
@given(problem=problems())
def test_weights_are_float64_not_negative_and_sum_to_the_number_of_tasks(case: Case, problem: Problem) -> None:
    losses, gradients = problem
    strategy = make(case, len(losses))
    weights = strategy.weights(losses.float(), gram(gradients).float())
    assert weights.dtype == torch.float64
    scaled = weights.sum().item() == pytest.approx(len(losses), rel=1e-12)
    cancelled = weights.sum() <= len(losses) and weights.abs().sum().item() == pytest.approx(10 * len(losses))
    assert scaled or (strategy.may_be_negative and cancelled)
    assert strategy.may_be_negative or (weights >= 0).all()


@every_strategy
@quick
@given(problem=problems(), data=st.data())
def test_permuting_tasks_permutes_weights(case: Case, problem: Problem, data: st.DataObject) -> None:
    if case[0] in DEPEND_ON_ORDER:
        pytest.skip("weights go by the position of a task")
    losses, gradients = problem
    order = torch.tensor(data.draw(st.permutations(range(len(losses)))))
    expected = make(case, len(losses)).weights(losses, gram(gradients))[order]
    close(make(case, len(losses)).weights(losses[order], gram(gradients[order])), expected)


@every_strategy
@quick
@given(problem=problems(low=2), data=st.data())
def test_an_absent_task_is_as_if_it_were_not_there(case: Case, problem: Problem, data: st.DataObject) -> None:
    """Over three steps with the absent task's loss at its worst, so that neither weights nor averages depend on it."""
    losses, gradients = problem
    tasks = len(losses)
    absent = data.draw(st.integers(1 if case[0] == "metabalance" else 0, tasks - 1))  # without task 0 another would be its target
    others = [task for task in range(tasks) if task != absent]
    whole, part = make(case, tasks), make(case, tasks - 1)
    for step in range(3):
        moved, turned = losses * (1 + 0.3 * step), gradients * (1 + 0.1 * step)
        masked_losses, masked_gradients = moved.clone(), turned.clone()
        masked_losses[absent], masked_gradients[absent] = 0.0, 0.0
        weights = whole.weights(masked_losses, gram(masked_gradients))
        assert weights[absent] == 0
        close(weights[others], part.weights(moved[others], gram(turned[others])))


@every_strategy
def test_without_any_task_all_weights_are_zero_and_the_state_stays(case: Case) -> None:
    strategy = make(case, 3)
    strategy.weights(torch.ones(3), torch.eye(3))
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    assert strategy.weights(torch.zeros(3), torch.zeros(3, 3)).tolist() == [0.0, 0.0, 0.0]
    assert all(torch.equal(value, strategy.state_dict()[name]) for name, value in before.items())


@every_strategy
@quick
@given(problem=problems(), task=st.integers(0, 5), power=st.floats(-6, 6))
def test_a_constant_factor_on_a_loss_changes_neither_shares_nor_direction(case: Case, problem: Problem, task: int, power: float) -> None:
    if case[0] in DEPEND_ON_SCALE:
        pytest.skip("depends on the scale of the losses: why the others exist")
    losses, gradients = problem
    factor = torch.ones_like(losses)
    factor[task % len(losses)] = 10**power
    updates, shares = [], []
    for scale in (torch.ones_like(losses), factor):
        moved = gradients * scale[:, None]
        weights = make(case, len(losses)).weights(losses * scale, gram(moved))
        lengths = weights * moved.norm(dim=1)
        shares.append(lengths / lengths.sum())
        updates.append((weights @ moved) / lengths.sum())
    close(shares[1], shares[0])
    close(updates[1], updates[0])


@every_strategy
@pytest.mark.parametrize("tiny", [1e-8, 1e-30, 1e-150])
def test_a_vanishing_gradient_leaves_everything_finite(case: Case, tiny: float) -> None:
    gradients = torch.eye(3, 8, dtype=torch.float64)
    gradients[1] *= tiny
    strategy = make(case, 3)
    for _ in range(3):
        weights = strategy.weights(torch.tensor([0.5, 1.0, 2.0]), gram(gradients))
        assert weights.isfinite().all()
        assert weights.sum().item() == pytest.approx(3)
    assert all(value.isfinite().all() for value in strategy.state_dict().values())


@every_strategy
@quick
@given(first=problems(low=3, high=3), second=problems(low=3, high=3))
def test_state_survives_a_round_trip(case: Case, first: Problem, second: Problem) -> None:
    strategy, other = make(case, 3), make(case, 3)
    strategy.weights(first[0], gram(first[1]))
    other.load_state_dict({name: value.clone() for name, value in strategy.state_dict().items()})
    again = other.weights(second[0], gram(second[1]))
    assert torch.equal(strategy.weights(second[0], gram(second[1])), again)


@pytest.mark.parametrize("case", EMTL_CASES, ids=label)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_seen_and_does_not_stay(case: Case, bad: float) -> None:
    """An overflow under a GradScaler: this step's update is thrown away, so the averages must not remember it."""
    losses, gradients = torch.tensor([0.5, 1.0, 2.0]), torch.eye(3)
    strategy, undisturbed = make(case, 3), make(case, 3)
    strategy.weights(losses, gradients)
    undisturbed.weights(losses, gradients)
    broken = gradients.clone()
    broken[1, 1] = bad
    assert not (strategy.weights(losses, broken)[1] > 0)
    undisturbed_later = undisturbed.weights(losses, gradients)[1]
    assert strategy.weights(losses, gradients)[1] == pytest.approx(undisturbed_later.item(), rel=1e-12)


def test_negative_losses_are_refused_by_task() -> None:
    with pytest.raises(ValueError, match=r"EMTL needs losses of at least 0, but the loss of task 1 is -0\.25"):
        emtl.create("emtl", 3).weights(torch.tensor([1.0, -0.25, 1.0]), torch.eye(3))


@every_strategy
def test_negative_losses_are_refused_or_taken(case: Case) -> None:
    strategy, losses = make(case, 3), torch.tensor([1.0, -0.25, 1.0])
    if case[0] in REFUSE_NEGATIVE:
        with pytest.raises(ValueError, match=r"needs losses of at least 0, but the loss of task 1 is -0\.25"):
            strategy.weights(losses, torch.eye(3))
    else:
        assert strategy.weights(losses, torch.eye(3)).sum().item() == pytest.approx(3)


@every_strategy
@pytest.mark.parametrize("losses", [[0.0, 1.0, 2.0], [1e-300, 1.0, 2.0], [0.0, 0.0, 0.0], [1e300, 1.0, 1e-300], [0.0, 0.0, 1e6]])
def test_losses_of_any_size_leave_everything_finite(case: Case, losses: list[float]) -> None:
    strategy = make(case, 3)
    for _ in range(4):
        weights = strategy.weights(torch.tensor(losses, dtype=torch.float64), torch.eye(3))
        assert weights.isfinite().all()
        assert weights.sum().item() == pytest.approx(3)
    assert all(value.isfinite().all() for value in strategy.state_dict().values())
