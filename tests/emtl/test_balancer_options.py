"""Options for large jobs: solves in every n-th step, weights of the step before, groups, preferences, limits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import TASKS, known, made, rows_and_labels, task_losses
from torch import Tensor

import emtl
from emtl.shaping import limited


def balancer_of(strategy: str = "normalized", tasks: int = TASKS, **options: Any) -> emtl.Balancer:
    return emtl.Balancer(emtl.create(strategy, tasks), **options)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-14, atol=0)


def run(balancer: emtl.Balancer, steps: range, absent: int | None = None, at: int = -1) -> list[Tensor]:
    """The weights of some steps of a model that learns nothing, so that they depend on the batch alone."""
    model = made(balancer.fork)
    weights = []
    for step in steps:
        rows, labels = rows_and_labels(7, seed=step)
        losses = task_losses(model(rows), labels)
        mask = torch.tensor([0.0 if step == at and task == absent else 1.0 for task in range(TASKS)], dtype=torch.float64)
        balancer.total(losses * mask).backward()
        weights.append(known(balancer.weights).clone())
    return weights


def test_every_third_step_is_solved_and_measured() -> None:
    plain, rare = run(balancer_of(), range(7)), run(balancer_of(every=3), range(7))
    for step in range(7):
        close(rare[step], plain[step // 3 * 3])
    balancer = balancer_of(every=2)
    run(balancer, range(2))
    assert balancer.gram is None and known(balancer.losses).shape == (TASKS,)


def test_lagged_weights_are_those_of_the_step_before_and_at_first_equal() -> None:
    plain, lagged = run(balancer_of(), range(4)), run(balancer_of(lagged=True), range(4))
    assert lagged[0].tolist() == [1.0] * TASKS
    for step in range(1, 4):
        close(lagged[step], plain[step - 1])


def test_lagged_and_rare_together() -> None:
    plain, both = run(balancer_of(), range(6)), run(balancer_of(lagged=True, every=2), range(6))
    assert both[0].tolist() == [1.0] * TASKS
    for step in range(1, 6):
        close(both[step], plain[(step - 1) // 2 * 2])


@pytest.mark.parametrize("options", [{"every": 2}, {"lagged": True}])
def test_a_task_that_was_absent_from_the_solve_has_its_weight_of_before(options: dict[str, Any]) -> None:
    weights = run(balancer_of(**options), range(6), absent=1, at=2)
    plain = run(balancer_of(), range(6), absent=1, at=2)
    assert plain[2][1] == 0
    before = plain[0 if "every" in options else 1]
    expected = torch.where(plain[2] == 0, before, plain[2])
    torch.testing.assert_close(weights[3], expected * TASKS / expected.sum())


@pytest.mark.parametrize("scope", ["representation", "parameters"])
@pytest.mark.parametrize("options", [{"every": 3}, {"lagged": True}, {"lagged": True, "every": 2}])
def test_the_gradient_is_that_of_the_reported_weights(options: dict[str, Any], scope: str) -> None:
    balancer = balancer_of("emtl", scope=scope, **options)
    model, plain = made(balancer.fork), made(None)
    for step in range(4):
        rows, labels = rows_and_labels(7, seed=step)
        model.zero_grad()
        balancer.total(task_losses(model(rows), labels), parameters=model.shared()).backward()
        expected = torch.autograd.grad((known(balancer.weights) * task_losses(plain(rows), labels)).sum(), plain.shared())
        for parameter, gradient in zip(model.shared(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"every": 3}, {"lagged": True}, {"lagged": True, "every": 2}])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_state_resumes_a_run(options: dict[str, Any], stop: int) -> None:
    whole, first, resumed = (balancer_of("emtl", **options) for _ in range(3))
    run(first, range(stop))
    resumed.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    expected = run(whole, range(6))[stop:]
    assert all(torch.equal(a, b) for a, b in zip(run(resumed, range(stop, 6)), expected, strict=True))
    assert all(isinstance(value, Tensor) for value in first.state_dict().values())
    with pytest.raises(RuntimeError, match="of a schedule"):
        balancer_of("emtl").load_state_dict(first.state_dict())


def test_a_group_is_one_task_to_the_strategy() -> None:
    """Tasks 0 and 2 summed before, by hand, against the group; both get the group's weight, and all of them sum to 3."""
    grouped, by_hand = balancer_of(tasks=2, groups=[[0, 2], [1]]), balancer_of(tasks=2)
    shared = torch.randn(5, 4, dtype=torch.float64)
    results = []
    for balancer, number in ((grouped, 3), (by_hand, 2)):
        leaf = shared.clone().requires_grad_()
        views = balancer.fork(leaf)
        losses = [views[0].square().sum(), views[1].exp().sum(), views[2 if number == 3 else 0].pow(4).sum()]
        balancer.total(torch.stack(losses if number == 3 else [losses[0] + losses[2], losses[1]])).backward()
        results.append((known(balancer.weights), known(leaf.grad)))
    (weights, gradient), (pair, pair_gradient) = results
    expected = pair[[0, 1, 0]]
    torch.testing.assert_close(weights, expected * 3 / expected.sum())
    torch.testing.assert_close(gradient, pair_gradient * 3 / expected.sum())
    assert known(grouped.gram).shape == (3, 3) and known(grouped.losses).shape == (3,)


def test_an_absent_member_of_a_group_has_weight_zero() -> None:
    balancer = balancer_of(tasks=2, groups=[[0, 2], [1]])
    run(balancer, range(1), absent=2, at=0)
    weights = known(balancer.weights)
    assert weights[2] == 0 and weights.sum().item() == pytest.approx(2)


def test_preferences_are_factors_on_shares() -> None:
    plain, preferring = balancer_of(), balancer_of(preferences=[2.0, 1.0, 0.5])
    for balancer in (plain, preferring):
        run(balancer, range(1))
    found = [emtl.equity(known(b.losses), known(b.gram), known(b.weights)).shares for b in (plain, preferring)]
    expected = found[0] * torch.tensor([2.0, 1.0, 0.5], dtype=torch.float64)
    torch.testing.assert_close(found[1], expected / expected.sum())
    assert known(preferring.weights).sum().item() == pytest.approx(3)


def test_preferences_of_groups() -> None:
    plain, preferring = balancer_of(tasks=2, groups=[[0, 2], [1]]), balancer_of(tasks=2, groups=[[0, 2], [1]], preferences=[1.0, 4.0])
    first, second = run(plain, range(1))[0], run(preferring, range(1))[0]
    torch.testing.assert_close(second[1] / second[0], 4 * first[1] / first[0])
    assert second[0] == second[2]


weights_of_tasks = st.lists(st.floats(1e-9, 1e3) | st.just(0.0) | st.floats(-2, 0), min_size=1, max_size=7)


@settings(max_examples=100, deadline=None)
@given(weights_of_tasks, st.floats(0, 1), st.floats(1, 5), st.data())
def test_limits_hold_with_the_sum_and_the_ratios_between_them(values: list[float], low: float, high: float, data: st.DataObject) -> None:
    present = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    weights = torch.where(present, torch.tensor(values, dtype=torch.float64), 0.0)
    if not (weights > 0).any():
        return
    found = limited(weights, present, low, high)
    number = int(present.sum())
    assert found.sum().item() == pytest.approx(number, rel=1e-9) and (found[~present] == 0).all()
    kept = found[present]
    assert (kept >= low - 1e-9).all() and (kept <= high + 1e-9).all()
    inner = present & (found > low * (1 + 1e-6)) & (found < min(high, len(values)) * (1 - 1e-6)) & (weights > 1e-9 * weights.max())
    ratios = found[inner] / weights[inner]
    torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios), rtol=1e-6, atol=0)


def test_limits_by_hand() -> None:
    weights, present = torch.tensor([4.0, 1.5, 0.5, 2.0], dtype=torch.float64) / 2, torch.ones(4, dtype=torch.bool)
    assert limited(weights, present, 0.0, 5.0).tolist() == weights.tolist()
    torch.testing.assert_close(limited(weights, present, 0.0, 1.6), torch.tensor([1.6, 0.9, 0.3, 1.2], dtype=torch.float64))
    torch.testing.assert_close(limited(weights, present, 1.0, 1.0), torch.ones(4, dtype=torch.float64))
    used = known(run(balancer_of(max_weight=1.2, min_weight=0.5), range(1))[0])
    assert used.max() <= 1.2 + 1e-12 and used.min() >= 0.5 - 1e-12 and used.sum().item() == pytest.approx(3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every must be at least 1, but got 0"),
        ({"every": 1.5}, "every must be an integer, but got 1.5"),
        ({"lagged": 1}, "lagged must be true or false, but got 1"),
        ({"max_weight": 0.9}, "max_weight must be at least 1, but got 0.9"),
        ({"min_weight": 1.5}, "min_weight must be in [0, 1], but got 1.5"),
        ({"preferences": [1, 2]}, "preferences must be a list of 3 numbers, one a task, but got [1, 2]"),
        ({"groups": [[0], [1, 2]]}, "the strategy is for 3 tasks, but there are 2 groups: it must see one task a group"),
        (
            {"groups": [[0], [1], [1]]},
            "groups must hold each task from 0 on once, and none may be empty, but got [[0], [1], [1]]",
        ),
    ],
)
def test_refusals_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        balancer_of(**options)
    assert str(refusal.value) == message


def test_nothing_waits_for_the_device() -> None:
    device = torch.device("meta")
    balancer = balancer_of(tasks=2, groups=[[0, 2], [1]], preferences=[1.0, 2.0], max_weight=1.5, every=2)
    assert balancer._weigh(torch.empty(3, device=device), torch.empty(3, 3, device=device)).shape == (3,)
    assert balancer._reuse(torch.empty(3, device=device), None).device == device
