"""Strategies that see the gradients at the fork, against their papers' formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from small_models import TASKS, known, made, rows_and_labels, task_losses
from strategy_cases import TENSOR_CASES, gram, label
from test_fork import forked_tensors
from torch import Tensor

import emtl
from emtl.features import row_sums
from emtl.fork import Step, _combine
from emtl.strategies.moco import onto_simplex

every_case = pytest.mark.parametrize("case", TENSOR_CASES, ids=label)
Case = tuple[str, dict[str, Any]]


def problem(seed: int, tasks: int = 3, features: int = 50) -> tuple[Tensor, Tensor, Tensor]:
    """(K,) losses, (K, K) Gram matrix, (K, F) features."""
    generator = torch.Generator().manual_seed(seed)
    sums = torch.randn(tasks, features, generator=generator, dtype=torch.float64)
    return torch.rand(tasks, generator=generator, dtype=torch.float64) + 0.5, gram(sums), sums


def test_graddrop_keeps_one_sign_a_feature_by_its_purity() -> None:
    """Over many draws each feature's positive gradients pass in the part P of them, all or none."""
    features = torch.tensor([[3.0, 1.0, -1.0, 0.0], [-1.0, 2.0, 0.5, 0.0]], dtype=torch.float64)
    strategy = emtl.create("graddrop", 2)
    passed = torch.zeros(4, dtype=torch.float64)
    draws = 4000
    for _ in range(draws):
        factors = strategy.weights(torch.ones(2), torch.eye(2), features)
        assert factors.mean(1).sum().item() == pytest.approx(2)
        kept = factors > 0
        assert (kept[0, :3] ^ kept[1, :3]).logical_or(features[0, :3] * features[1, :3] > 0).all()
        assert kept[:, 1].all() and kept[:, 3].all()
        passed += kept.double()[features.argmax(0), range(4)]
    positive = torch.where(features > 0, features, 0.0).sum(0)
    total = features.abs().sum(0)
    expected = torch.where(total == 0, 1.0, positive / torch.where(total == 0, 1.0, total))
    torch.testing.assert_close(passed / draws, expected, rtol=0, atol=4 * 0.5 / draws**0.5)


def test_graddrop_at_the_fork_is_the_papers_algorithm() -> None:
    """The whole update from the reported sums: signs of the shared values, sums over rows, one factor a task and feature."""
    balancer = emtl.Balancer(emtl.create("graddrop", 3, leak=0.25, seed=3))
    torch.manual_seed(0)
    shared = torch.randn(6, 12, dtype=torch.float64).requires_grad_()
    targets = torch.randn(3, 6, 12, dtype=torch.float64)
    views = balancer.fork(shared)
    balancer.total(torch.stack([(view - target).square().sum() for view, target in zip(views, targets, strict=True)])).backward()
    gradients = 2 * (shared.detach() - targets)
    sums = (gradients * shared.detach().sign()).sum(1)
    twin = emtl.create("graddrop", 3, leak=0.25, seed=3)
    factors = twin.weights(torch.ones(3), torch.eye(3), sums)
    levels = factors.unique()
    assert len(levels) == 2 and levels[0] / levels[1] == 0.25
    torch.testing.assert_close(shared.grad, (factors[:, None] * gradients).sum(0))
    torch.testing.assert_close(known(balancer.weights), factors.mean(1))


def test_graddrop_needs_all_shared_tensors_in_one_fork() -> None:
    balancer = emtl.Balancer(emtl.create("graddrop", 2))
    shared = torch.randn(4, 3, requires_grad=True)
    first, second = balancer.fork(shared), balancer.fork(shared.tanh())
    with pytest.raises(RuntimeError, match="all shared tensors in one fork"):
        balancer.total(torch.stack([(a * b).sum() for a, b in zip(first, second, strict=True)])).backward()


def test_excess_by_hand() -> None:
    strategy = emtl.create("excess", 3, robust_step_size=0.1)
    squares, logits, first = torch.zeros(3, 50, dtype=torch.float64), torch.zeros(3, dtype=torch.float64), None
    for step in range(4):
        losses, matrix, features = problem(step)
        squares = squares + features**2
        excess = (features / (squares + 1e-7).sqrt() * features).sum(1)
        first = excess if first is None else first
        logits = logits + 0.1 * excess / first
        torch.testing.assert_close(strategy.weights(losses, matrix, features), 3 * logits.softmax(0), rtol=1e-10, atol=0)


def test_moco_by_hand() -> None:
    """Two tasks, where the projection on the simplex is a clamp."""
    strategy = emtl.create("moco", 2, beta=0.4, gamma=0.3, rho=0.1)
    tracked, mix = torch.zeros(2, 50, dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64)
    for step in range(1, 5):
        losses, matrix, features = problem(step, tasks=2)
        unit = features / features.norm(dim=1, keepdim=True) * losses[:, None]
        tracked = tracked - 0.4 / step**0.5 * (tracked - unit)
        moved = mix - 0.3 / step**0.5 * ((tracked @ tracked.T + 0.1 * torch.eye(2)) @ mix)
        first = ((moved[0] - moved[1] + 1) / 2).clamp(0, 1)
        mix = torch.stack([first, 1 - first])
        torch.testing.assert_close(strategy.weights(losses, matrix, features), 2 * mix, rtol=1e-10, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_onto_the_simplex(values: list[float]) -> None:
    point = torch.tensor(values, dtype=torch.float64)
    found = onto_simplex(point, torch.ones(len(values), dtype=torch.bool))
    constraint = {"type": "eq", "fun": lambda p: p.sum() - 1}
    start = [1 / len(values)] * len(values)
    best = minimize(lambda p: ((p - point.numpy()) ** 2).sum(), start, bounds=[(0, 1)] * len(values), constraints=constraint, tol=1e-12)
    torch.testing.assert_close(found, torch.tensor(best.x), rtol=0, atol=1e-5)


@every_case
def test_an_absent_task_is_as_if_it_were_not_there(case: Case) -> None:
    whole, part = emtl.create(case[0], 4, **case[1]), emtl.create(case[0], 3, **case[1])
    for step in range(3):
        losses, _, features = problem(step, tasks=4)
        losses[2], features[2] = 0, 0
        others = [0, 1, 3]
        found = whole.weights(losses, gram(features), features)
        assert (found[2] == 0).all()
        torch.testing.assert_close(found[others], part.weights(losses[others], gram(features[others]), features[others]))


@every_case
def test_without_any_task_the_state_stays(case: Case) -> None:
    strategy = emtl.create(case[0], 3, **case[1])
    strategy.weights(*problem(0))
    before = {name: value.clone() for name, value in strategy.state_dict().items()}
    assert not strategy.weights(torch.zeros(3), torch.zeros(3, 3), torch.zeros(3, 50)).any()
    assert all(torch.equal(value, strategy.state_dict()[name]) for name, value in before.items())


@every_case
def test_a_fresh_strategy_takes_over_a_state(case: Case) -> None:
    strategy, other = emtl.create(case[0], 3, **case[1]), emtl.create(case[0], 3, **case[1])
    strategy.weights(*problem(0))
    other.load_state_dict({name: value.clone() for name, value in strategy.state_dict().items()})
    assert torch.equal(strategy.weights(*problem(1)), other.weights(*problem(1)))


@every_case
@pytest.mark.parametrize("tiny", [1e-8, 1e-150, 0.0])
def test_a_vanishing_gradient_leaves_everything_finite(case: Case, tiny: float) -> None:
    strategy = emtl.create(case[0], 3, **case[1])
    for step in range(3):
        losses, matrix, features = problem(step)
        features[1] *= tiny  # 0: what cancels over rows, with a gradient all the same
        found = strategy.weights(losses, matrix, features)
        assert found.isfinite().all()
        assert (found if found.dim() == 1 else found.mean(1)).sum().item() == pytest.approx(3)


@every_case
def test_in_a_model_as_a_loop_of_backwards(case: Case) -> None:
    """The model's combined gradient from the K gradients at the fork, the sums over rows by hand."""
    balancer, twin = emtl.Balancer(emtl.create(case[0], TASKS, **case[1])), emtl.create(case[0], TASKS, **case[1])
    model, plain = made(balancer.fork), made(None)
    for step in range(3):
        rows, labels = rows_and_labels(7, seed=step)
        model.zero_grad()
        (balancer.total(task_losses(model(rows), labels)) * 8).backward()
        outputs, kept = forked_tensors(plain, rows)
        losses = task_losses(outputs, labels)
        found = [torch.autograd.grad(loss, kept, retain_graph=True) for loss in losses]
        sums = row_sums(found, kept, twin.signed)
        flat = torch.stack([torch.cat([part.flatten() for part in parts]) for parts in found])
        weights = twin.weights(losses.detach(), gram(flat), sums)
        factors = weights if weights.dim() == 2 else weights[:, None].expand_as(sums)
        pieces = factors.split([part[0].numel() for part in kept], dim=1)
        combined = [
            sum(piece[task].view(1, *tensor.shape[1:]) * found[task][index] for task in range(TASKS))
            for index, (piece, tensor) in enumerate(zip(pieces, kept, strict=True))
        ]
        expected = torch.autograd.grad(kept, plain.shared(), combined)
        torch.testing.assert_close(known(balancer.weights), factors.mean(1) if weights.dim() == 2 else weights, rtol=1e-9, atol=0)
        for parameter, gradient in zip(model.shared(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, 8 * gradient, rtol=1e-9, atol=1e-12)


@every_case
def test_nothing_waits_for_the_device(case: Case) -> None:
    device = torch.device("meta")
    balancer = emtl.Balancer(emtl.create(case[0], 3, **case[1]))
    step = Step(balancer._weigh, True, True, balancer.strategy.signed, torch.empty(3, device=device), torch.empty((), device=device))
    gradients = [[torch.empty(5, 4, device=device), torch.empty(5, 2, 2, device=device)] for _ in range(3)]
    assert [known(total).shape for total in _combine(step, gradients, device, 0, gradients[0])] == [(5, 4), (5, 2, 2)]


@every_case
def test_what_is_refused(case: Case) -> None:
    strategy = emtl.create(case[0], 3, **case[1])
    with pytest.raises(ValueError, match=r"use it through emtl\.Balancer"):
        strategy.weights(torch.ones(3), torch.eye(3))
    for options in ({"scope": "parameters"}, {"lagged": True}):
        with pytest.raises(ValueError, match="with scope representation, and not lagged"):
            emtl.Balancer(strategy, **options)


def test_graddrop_has_no_weights_to_limit_or_keep() -> None:
    with pytest.raises(ValueError, match="every must be 1"):
        emtl.Balancer(emtl.create("graddrop", 3), every=2)
    with pytest.raises(ValueError, match="no weights that preferences, min_weight or max_weight could change"):
        emtl.Balancer(emtl.create("graddrop", 3), max_weight=2.0)
