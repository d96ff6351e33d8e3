"""The solvers against independent ones of scipy, certificates of optimality and closed forms."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls
from strategy_cases import gram
from torch import Tensor

from emtl import solvers
from emtl.eigen import eigen
from emtl.gram import normalise

quick = settings(max_examples=30, deadline=None)


@st.composite
def jacobians(draw: st.DrawFn, low: int = 1, high: int = 8, spread: float = 2.0) -> Tensor:
    """(K, 10) gradients with a common part, so that they conflict, agree or neither, and norms over 10^-spread .. 10^spread."""
    tasks = draw(st.integers(low, high))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    common = draw(st.sampled_from([0.0, 1.0, 3.0])) * torch.randn(10, generator=generator, dtype=torch.float64)
    signs = torch.tensor(draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=tasks, max_size=tasks)), dtype=torch.float64)
    powers = torch.tensor(draw(st.lists(st.floats(-spread, spread), min_size=tasks, max_size=tasks)), dtype=torch.float64)
    return 10 ** powers[:, None] * (torch.randn(tasks, 10, generator=generator, dtype=torch.float64) + signs[:, None] * common)


def split(jacobian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines, norms and the mask of the tasks present."""
    cosines, norms = normalise(gram(jacobian))
    return cosines, norms, norms > 0


def test_supports_are_all_sets_smaller_ones_first() -> None:
    masks = solvers.supports(3, torch.device("cpu"))
    assert masks.sum(1).tolist() == [0, 1, 1, 1, 2, 2, 2, 3]
    assert len({tuple(mask) for mask in masks.tolist()}) == 8


@quick
@given(jacobian=jacobians(spread=0.0))
def test_a_symmetric_system(jacobian: Tensor) -> None:
    cosines, _, _ = split(jacobian)
    right = torch.arange(1.0, len(cosines) + 1, dtype=torch.float64)[:, None]
    expected = numpy.linalg.solve(cosines.numpy(), right.numpy())
    solution = solvers.solve_symmetric(cosines, right).numpy()
    numpy.testing.assert_allclose(solution, expected, rtol=0, atol=1e-11 * numpy.abs(expected).max() * numpy.linalg.cond(cosines.numpy()))


def test_a_singular_system_in_and_out_of_its_range() -> None:
    matrix = torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    inside = solvers.solve_symmetric(matrix, torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
    torch.testing.assert_close(inside, torch.tensor([[0.5], [-0.5]], dtype=torch.float64), rtol=1e-9, atol=1e-5)
    outside = solvers.solve_symmetric(matrix, torch.tensor([[1.0], [0.0]], dtype=torch.float64))
    torch.testing.assert_close(outside / outside.sum(), torch.full((2, 1), 0.5, dtype=torch.float64), rtol=1e-9, atol=1e-9)


@quick
@given(jacobian=jacobians())
def test_the_shortest_combination_is_that_of_non_negative_least_squares(jacobian: Tensor) -> None:
    """argmin over w >= 0 of norm(J'w)^2 + (1 - sum w)^2 is a multiple of it (Lawson & Hanson 1974)."""
    cosines, norms, present = split(jacobian)
    weights, found = solvers.smallest_norm(cosines, norms, present, torch.zeros_like(norms))
    size = norms.min().item()
    reference, _ = nnls(numpy.vstack([jacobian.T.numpy() / size, numpy.ones((1, len(norms)))]), numpy.array([0.0] * 10 + [1.0]))
    reference /= reference.sum()
    assert found
    lengths = norms.numpy() / size
    numpy.testing.assert_allclose(weights.numpy() * lengths, reference * lengths, rtol=1e-8, atol=1e-8)


@quick
@given(jacobian=jacobians(), part=st.floats(0, 1))
def test_with_floors_no_weight_can_be_moved_to_another_task(jacobian: Tensor, part: float) -> None:
    cosines, norms, present = split(jacobian)
    floors = torch.full_like(norms, 0.9 * part / len(norms))
    weights, found = solvers.smallest_norm(cosines, norms, present, floors)
    slopes = gram(jacobian) @ weights
    free = weights > floors * (1 + 1e-9) + 1e-9
    tolerance = 1e-9 * norms.max() * (weights * norms).max()
    assert found and (weights >= floors).all() and weights.sum().item() == pytest.approx(1, rel=1e-12)
    assert slopes[free].max() - slopes.min() <= tolerance


@quick
@given(jacobian=jacobians(), c=st.floats(0.05, 1.5))
def test_the_conflict_averse_direction_has_no_duality_gap(jacobian: Tensor, c: float) -> None:
    """min_k g_k.d cannot exceed g_v.g_0 + c norm(g_0) norm(g_v) for any v on the simplex; d reaches it."""
    cosines, norms, present = split(jacobian)
    weights, found = solvers.conflict_averse(cosines, norms, present, c)
    mean, update = jacobian.mean(0), weights @ jacobian
    rise = weights - 1 / len(weights)
    dual_point = rise / rise.sum()
    dual = (dual_point @ jacobian) @ mean + c * mean.norm() * (dual_point @ jacobian).norm()
    assert found and (rise >= -1e-12).all()
    assert (update - mean).norm().item() == pytest.approx(c * mean.norm().item(), rel=1e-8)
    assert ((jacobian @ update).min() - dual).abs() <= 1e-8 * (jacobian @ update).abs().max()


@quick
@given(jacobian=jacobians())
def test_projections_onto_the_dual_cone_are_those_of_non_negative_least_squares(jacobian: Tensor) -> None:
    cosines, norms, _ = split(jacobian)
    unit = jacobian / norms[:, None]
    coordinates, found = solvers.onto_dual_cone(cosines, torch.eye(len(norms), dtype=torch.float64))
    assert found
    for task, row in enumerate(coordinates):
        rises, _ = nnls(unit.T.numpy(), -unit[task].numpy())
        expected = unit[task].numpy() + rises @ unit.numpy()
        numpy.testing.assert_allclose((row @ unit).numpy(), expected, atol=1e-9)


@quick
@given(jacobian=jacobians(), power=st.floats(0.2, 5), spread=st.floats(0, 2))
def test_the_equilibrium_solves_its_equation(jacobian: Tensor, power: float, spread: float) -> None:
    cosines, norms, _ = split(jacobian)
    rates = 10 ** torch.linspace(-spread / 2, spread / 2, len(norms), dtype=torch.float64)
    values, found = solvers.equilibrium(cosines, rates, power)
    assert found and (values > 0).all()
    torch.testing.assert_close(cosines @ values, rates * values**-power, rtol=1e-7, atol=0)


def test_an_equilibrium_that_is_not_reached_is_told() -> None:
    cosines = torch.tensor([[1.0, -0.99], [-0.99, 1.0]], dtype=torch.float64)
    rates = torch.tensor([1.0, 1e4], dtype=torch.float64)
    assert not solvers.equilibrium(cosines, rates, 1.0, steps=1)[1]
    assert solvers.equilibrium(cosines, rates, 1.0)[1]


@quick
@given(jacobian=jacobians(spread=5.0))
def test_eigenvectors_diagonalise_each_entry_relative_to_its_row_and_column(jacobian: Tensor) -> None:
    matrix = gram(jacobian)
    values, vectors = eigen(matrix)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(len(values), dtype=torch.float64), rtol=0, atol=1e-13)
    torch.testing.assert_close((vectors * values) @ vectors.T, matrix, rtol=0, atol=1e-13 * matrix.max().item())
    torch.testing.assert_close(values.log().sum(), torch.logdet(normalise(matrix)[0]) + matrix.diagonal().log().sum(), rtol=1e-9, atol=1e-9)


def test_small_eigenvalues_are_exact_though_norms_differ_by_1e8() -> None:
    """For norms (1, e), e -> 0, the small eigenvalue is e^2 (1 - cos^2)."""
    norms = torch.tensor([1.0, 1e-8], dtype=torch.float64)
    matrix = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=torch.float64) * norms * norms[:, None]
    assert eigen(matrix)[0].min().item() == pytest.approx(0.64e-16, rel=1e-12)
