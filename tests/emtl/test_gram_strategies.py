"""Strategies from the Gram matrix: exact values, identities, other people's mistakes and degenerate gradients."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from strategy_cases import gram
from test_solvers import jacobians
from torch import Tensor

import emtl
from emtl import solvers
from emtl.strategies.orders import orders
from emtl.strategy import scaled

quick = settings(max_examples=20, deadline=None)
NAMES = ["aligned", "cagrad", "config", "dualproj", "fairgrad", "gradcraft", "gradvac", "imtl_g", "mgda", "multibalance", "nash"]
NAMES += ["pcgrad", "pe_ltr", "upgrad"]
EXACT: dict[str, tuple[str, dict[str, Any]]] = {
    "MGDA": ("mgda", {}),
    "UPGrad": ("upgrad", {}),
    "DualProj": ("dualproj", {}),
    "IMTLG": ("imtl_g", {}),
    "FairGrad(alpha=0.5)": ("fairgrad", {"alpha": 0.5}),
    "FairGrad(alpha=1)": ("fairgrad", {"alpha": 1.0}),
    "FairGrad(alpha=2)": ("fairgrad", {"alpha": 2.0}),
    "NashMTL(max_norm=0)": ("nash", {}),
    "CAGrad(c=0.4)": ("cagrad", {"c": 0.4}),
    "CAGrad(c=0.5)": ("cagrad", {"c": 0.5}),
    "AlignedMTL(min)": ("aligned", {}),
    "AlignedMTL(median)": ("aligned", {}),
    "AlignedMTL(rmse)": ("aligned", {}),
}


def weights(name: str, jacobian: Tensor, **options: Any) -> Tensor:
    """The first step's weights, from a solve that hasn't failed."""
    strategy = emtl.create(name, len(jacobian), **options)
    found = strategy.weights(torch.ones(len(jacobian)), gram(jacobian))
    assert strategy.state_dict().get("failures", torch.tensor(0)) == 0
    return found


def cases(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "mto_vectors.json").read_text())["cases"]


def double(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("method", EXACT)
def test_the_weights_are_those_of_60_digits(reference: Path, method: str) -> None:
    compared = 0
    for case in cases(reference):
        if not case["exact"].get(method):
            continue
        name, options = EXACT[method]
        expected = double(case["exact"][method])
        strategy = emtl.create(name, len(expected), **options)
        found = strategy.weights(double(case["losses"]), double(case["G"]))
        torch.testing.assert_close(found, len(expected) * expected / expected.sum(), rtol=1e-9, atol=1e-12)
        assert strategy.state_dict()["failures"] == 0
        compared += 1
    assert compared >= 15


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_gradcraft_has_the_direction_of_its_published_code(reference: Path, tau: float) -> None:
    for case in cases(reference):
        if case["name"] == "K2-antiparallel":
            continue
        jacobian = double(case["J"])
        expected = double(case["official"][f"GradCraft(tau={tau},eps=0.0)"]["direction"])
        update = weights("gradcraft", jacobian, tau=tau) @ jacobian
        torch.testing.assert_close(update / update.norm(), expected / expected.norm(), rtol=0, atol=1e-9)


@quick
@given(jacobian=jacobians(low=2, high=2))
def test_closed_forms_for_two_tasks(jacobian: Tensor) -> None:
    norms = jacobian.norm(dim=1)
    equal = 2 / norms / (1 / norms).sum()
    for name in ("nash", "imtl_g", "config"):
        torch.testing.assert_close(weights(name, jacobian), equal, rtol=1e-9, atol=0)
    torch.testing.assert_close(weights("upgrad", jacobian), weights("pcgrad", jacobian), rtol=1e-9, atol=0)
    torch.testing.assert_close(weights("gradvac", jacobian), weights("pcgrad", jacobian), rtol=1e-9, atol=0)


@quick
@given(jacobian=jacobians())
def test_identities_between_methods(jacobian: Tensor) -> None:
    torch.testing.assert_close(weights("fairgrad", jacobian), weights("nash", jacobian), rtol=1e-9, atol=0)
    torch.testing.assert_close(weights("config", jacobian), weights("imtl_g", jacobian), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights("pe_ltr", jacobian), weights("mgda", jacobian), rtol=0, atol=0)
    torch.testing.assert_close(weights("multibalance", jacobian), weights("mgda", jacobian, normalization="l2"), rtol=1e-9, atol=1e-12)


@quick
@given(jacobian=jacobians())
def test_without_conflict_projections_change_nothing(jacobian: Tensor) -> None:
    agreeing = jacobian.abs()
    for name in ("upgrad", "dualproj", "pcgrad", "gradvac"):
        torch.testing.assert_close(weights(name, agreeing), torch.ones(len(agreeing), dtype=torch.float64), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["mgda", "nash", "fairgrad", "upgrad", "dualproj", "imtl_g", "config"])
@quick
@given(jacobian=jacobians(spread=3.0))
def test_no_task_is_harmed_however_small_its_gradient(name: str, jacobian: Tensor) -> None:
    """That of a ridge relative to the trace is; the products are relative to the task's own norm."""
    update = weights(name, jacobian) @ jacobian
    cosines = jacobian @ update / jacobian.norm(dim=1)
    assert (cosines >= -1e-9 * (weights(name, jacobian).abs() * jacobian.norm(dim=1)).sum()).all()


@pytest.mark.parametrize("name", ["imtl_g", "config"])
@quick
@given(jacobian=jacobians(spread=3.0))
def test_projections_are_equal(name: str, jacobian: Tensor) -> None:
    update = weights(name, jacobian) @ jacobian
    projections = jacobian @ update / jacobian.norm(dim=1)
    torch.testing.assert_close(projections, projections.mean().expand(len(projections)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
@quick
@given(jacobian=jacobians(high=5))
def test_a_common_factor_on_the_gradients_changes_nothing(name: str, jacobian: Tensor) -> None:
    torch.testing.assert_close(weights(name, 1e4 * jacobian), weights(name, jacobian), rtol=1e-8, atol=1e-9)


def test_cagrad_protects_a_tiny_gradient() -> None:
    """Published code gives 0: the ascent along the mean is all the large one's."""
    jacobian = double([[1e4, 0.0], [-0.5, 0.8]])
    update = weights("cagrad", jacobian, c=0.8) @ jacobian
    assert jacobian[1] @ update > 0
    assert weights("cagrad", jacobian, c=0.0).tolist() == [1.0, 1.0]


def test_mgda_is_exact_at_a_corner_and_beside_it() -> None:
    """Clipped at 0.999, the weight of the large gradient would be 1e-3 and its part of the update 9 times the other's."""
    assert weights("mgda", double([[1e-4, 1e-5], [1.0, 0.0]])).tolist() == [2.0, 0.0]
    beside = weights("mgda", double([[1e-4, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(beside, 2 * double([1.0, 1e-8]) / (1 + 1e-8), rtol=1e-12, atol=0)


def test_a_failed_solve_is_counted_and_gives_normalised_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    jacobian = double([[1.0, 0.0, 0.0], [-90.0, 10.0, 0.0], [0.5, 0.0, 7.0]])
    strategy = emtl.create("nash", 3)
    with monkeypatch.context() as patched:
        patched.setattr(solvers, "equilibrium", partial(solvers.equilibrium, steps=0))
        for count in (1, 2):
            found = strategy.weights(torch.ones(3), gram(jacobian))
            assert strategy.failures == count
    torch.testing.assert_close(found, emtl.create("normalized", 3).weights(torch.ones(3), gram(jacobian)))
    strategy.weights(torch.ones(3), gram(jacobian))
    assert strategy.failures == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_gram_matrix_that_is_not_finite_is_seen_and_is_no_failure(name: str) -> None:
    strategy = emtl.create(name, 3)
    matrix = torch.eye(3)
    matrix[1, 1] = float("inf")
    assert not strategy.weights(torch.ones(3), matrix).isfinite().all()
    assert strategy.state_dict().get("failures", 0) == 0
    assert strategy.weights(torch.ones(3), torch.eye(3)).tolist() == pytest.approx([1.0, 1.0, 1.0])


DEGENERATE = {
    "antiparallel": [[1.0, 2.0], [-0.5, -1.0]],
    "parallel": [[1.0, 2.0], [2.0, 4.0]],
    "stationary": [[1.0, 0.0], [-0.5, 1.0], [-0.5, -1.0]],
    "rank 2 of 3": [[1.0, 0.2], [0.4, 1.0], [2.0, -3.0]],
    "two alike": [[1.0, 0.2, 0.0], [1.0, 0.2, 0.0], [-0.3, 0.5, 1.0]],
    "zero row": [[1.0, 0.2, 0.0], [0.0, 0.0, 0.0], [-0.3, 0.5, 1.0]],
    "scales of 1e4": [[1e4, 2e3, 0.0], [1.0, -5.0, 0.1], [-0.3, 0.5, 1.0]],
}


@pytest.mark.parametrize("kind", DEGENERATE)
@pytest.mark.parametrize("name", NAMES)
def test_degenerate_gradients_have_a_finite_answer(name: str, kind: str) -> None:
    jacobian = double(DEGENERATE[kind])
    found = weights(name, jacobian)
    assert found.isfinite().all()
    assert found.abs().sum() <= 10 * len(jacobian) + 1e-9
    assert (found[jacobian.norm(dim=1) == 0] == 0).all()


@pytest.mark.parametrize("kind", ["antiparallel", "stationary"])
@pytest.mark.parametrize("name", ["mgda", "nash", "fairgrad", "imtl_g", "config", "upgrad", "dualproj"])
def test_at_a_stationary_point_the_update_vanishes(name: str, kind: str) -> None:
    jacobian = double(DEGENERATE[kind])
    assert (weights(name, jacobian) @ jacobian).norm() < 1e-6


def test_weights_that_cancel_turn_no_update_round() -> None:
    """C^-1 1 / s has a sum below 0 here: divided by that, as the paper does, the update would be against both tasks."""
    jacobian = double([[1.0, 0.0, 0.0], [10.0, 1.0, 0.0], [10.0, 0.0, 1.0]]) * double([[0.05], [1.0], [1.0]])
    found = weights("imtl_g", jacobian)
    assert (jacobian @ (found @ jacobian) > 0).all()
    everybody = torch.ones(2, dtype=torch.bool)
    assert scaled(double([-2.0, 1.0]), everybody).tolist() == pytest.approx([-2 / 0.15, 1 / 0.15])
    assert scaled(double([-1.0, 3.0]), everybody).tolist() == pytest.approx([-1.0, 3.0])
    assert scaled(double([0.0, 0.0]), everybody).tolist() == [0.0, 0.0]


def projected(jacobian: numpy.ndarray, order: list[list[int]], targets: numpy.ndarray | None, beta: float) -> numpy.ndarray:
    """PCGrad (no targets) and GradVac (moves targets) on the gradients themselves, as their papers write them."""
    update = numpy.zeros(jacobian.shape[1])
    for task, others in enumerate(order):
        moved = jacobian[task].copy()
        for other in others:
            along = jacobian[other]
            cosine = moved @ along / numpy.linalg.norm(moved) / numpy.linalg.norm(along)
            target = 0.0 if targets is None else targets[task, other]
            if cosine < target:
                root, aim = numpy.sqrt(1 - cosine**2), numpy.sqrt(1 - target**2)
                moved = moved + numpy.linalg.norm(moved) * (target * root - cosine * aim) / numpy.linalg.norm(along) / aim * along
            if targets is not None:
                targets[task, other] += beta * (cosine - target)
        update += moved
    return update


@pytest.mark.parametrize("name", ["pcgrad", "gradvac"])
@quick
@given(jacobian=jacobians(low=2, high=5))
def test_projections_on_the_gram_matrix_are_those_of_the_gradients(name: str, jacobian: Tensor) -> None:
    tasks = len(jacobian)
    targets = numpy.zeros((tasks, tasks)) if name == "gradvac" else None
    strategy = emtl.create(name, tasks, seed=3, **({"beta": 0.5} if name == "gradvac" else {}))
    for step in range(3):
        turned = jacobian.roll(step, 1) + step * jacobian.roll(step, 0)
        order, _ = orders(3, torch.tensor(step), torch.ones(tasks, dtype=torch.bool))
        expected = projected(turned.numpy(), order.tolist(), targets, 0.5)
        update = (strategy.weights(torch.ones(tasks), gram(turned)) @ turned).numpy()
        length = numpy.linalg.norm(update)
        numpy.testing.assert_allclose(update / length, expected / numpy.linalg.norm(expected), atol=1e-7)


def test_orders_are_permutations_of_the_others_that_differ_by_step_and_seed() -> None:
    everybody = torch.ones(5, dtype=torch.bool)
    drawn = [orders(seed, torch.tensor(step), everybody)[0] for seed in (0, 1) for step in range(3)]
    for order in drawn:
        assert [sorted(row) for row in order.tolist()] == [[other for other in range(5) if other != task] for task in range(5)]
    assert len({str(order.tolist()) for order in drawn}) == 6
    assert torch.equal(drawn[0], orders(0, torch.tensor(0), everybody)[0])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mgda", {"normalization": "l3"}, "normalization must be one of none, l2, loss, loss+, but got 'l3'; the nearest is 'l2'"),
        ("pe_ltr", {"c": 0.5}, "c must leave a sum of weights of 1, but the floors sum to 1.5"),
        ("pe_ltr", {"c": [0.1]}, "c must be a number or a list of 3 numbers, one a task, but got [0.1]"),
        ("cagrad", {"c": -0.1}, "c must be non-negative, but got -0.1"),
        ("fairgrad", {"alpha": 0}, "alpha must be in [0.2, 5], but got 0"),
        ("gradvac", {"beta": 1.5}, "beta must be in [0, 1], but got 1.5"),
        ("pcgrad", {"seed": -1}, "seed must be in [0, 9.22337e+18], but got -1"),
        ("gradcraft", {"tau": 2}, "tau must be in [0, 1], but got 2"),
        ("multibalance", {"beta": 1.0}, "beta must be in [0, 1), but got 1.0"),
        ("upgrad", {"pref_vector": [1, 2]}, "pref_vector must be a list of 3 numbers, one a task, but got [1, 2]"),
        ("config", {"pref_vector": [1, 0, 1]}, "pref_vector[1] must be positive, but got 0"),
    ],
)
def test_refusals(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        emtl.create(name, 3, **options)
    assert str(refusal.value) == message


def test_more_tasks_than_can_be_enumerated_are_refused_and_others_take_them() -> None:
    with pytest.raises(ValueError, match="MGDA solves problems of at most 12 tasks, but num_tasks is 13"):
        emtl.create("mgda", 13)
    assert weights("nash", torch.eye(13, dtype=torch.float64)).tolist() == pytest.approx([1.0] * 13)


def test_preferences_and_floors_are_followed() -> None:
    jacobian = double([[3.0, 0.0], [0.0, 1.0]])
    update = weights("config", jacobian, pref_vector=[2.0, 1.0]) @ jacobian
    assert (update[0] / update[1]).item() == pytest.approx(2)
    assert weights("upgrad", jacobian, pref_vector=[2.0, 1.0]).tolist() == pytest.approx([4 / 3, 2 / 3])
    assert weights("pe_ltr", jacobian, c=[0.5, 0.1]).tolist() == pytest.approx([1.0, 1.0])
    assert weights("pe_ltr", jacobian, c=0.5).tolist() == [1.0, 1.0]
    assert weights("mgda", jacobian, normalization="l2").tolist() == pytest.approx([0.5, 1.5])
