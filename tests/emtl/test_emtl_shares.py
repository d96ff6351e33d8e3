"""The four forms of EMTL against independent references, and what was promised of each."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from strategy_cases import gram, problems
from torch import Tensor

import emtl
from emtl.strategies import shares
from emtl.strategies.emtl import CAP

Array = NDArray[numpy.float64]
FORMS = ("chi2", "variance", "kl", "log_variance")
quick = settings(max_examples=40, deadline=None)
contributions = st.lists(st.floats(0.01, 100), min_size=2, max_size=7)
strengths = st.floats(0.0, 3.0)


def share(form: str, values: list[float], strength: float) -> Array:
    """The shares of one form; a strength of 1 or more counts as 1 for `log_variance`, whose range ends there."""
    strength = min(strength, 1.0) if form == "log_variance" else strength
    given_contributions = torch.tensor(values, dtype=torch.float64)
    return getattr(shares, form)(given_contributions, torch.ones(len(values), dtype=torch.bool), strength).numpy()


def on_simplex(point: Array) -> Array:
    """Euclidean projection onto the simplex, by the root of its threshold."""
    excess = brentq(lambda level: numpy.maximum(point - level, 0).sum() - 1, point.min() - 1, point.max(), xtol=1e-15, rtol=1e-15)
    return numpy.maximum(point - excess, 0)


def chi2_reference(values: Array, rho: float) -> Array:
    """By the optimality conditions p = projection of t c, with the t that puts p on the sphere."""
    tasks = len(values)

    def outside(log_t: float) -> float:
        return 0.5 * tasks * ((on_simplex(numpy.exp(log_t) * values) - 1 / tasks) ** 2).sum() - rho

    scale = values.max()
    if outside(numpy.log(1e4 / scale)) < 0:
        return numpy.where(values == values.max(), 1 / (values == values.max()).sum(), 0)
    return on_simplex(numpy.exp(brentq(outside, numpy.log(1e-9 / scale), numpy.log(1e4 / scale), xtol=1e-14)) * values)


def kl_reference(values: Array, rho: float) -> Array:
    """exp(c / tau) with the root tau of KL = rho."""

    def powers(log_inverse: float) -> Array:
        logits = numpy.exp(log_inverse) * (values - values.max())
        return numpy.exp(logits) / numpy.exp(logits).sum()

    def excess(log_inverse: float) -> float:
        p = powers(log_inverse)
        return float((p * numpy.log(numpy.maximum(p * len(p), 1e-300))).sum()) - rho

    return powers(30.0) if excess(30.0) < 0 else powers(brentq(excess, -30, 30, xtol=1e-14))


def spread_out(values: list[float]) -> list[float]:
    """The same values, no two closer than 1 %, as a reference by root-finding needs them."""
    kept: list[float] = []
    for value in values:
        if all(abs(value - other) > 0.01 * value for other in kept):
            kept.append(value)
    return kept


@quick
@given(values=contributions.map(spread_out).filter(lambda kept: len(kept) > 1), rho=st.floats(0.01, 3))
def test_chi2_is_the_exact_projection(values: list[float], rho: float) -> None:
    numpy.testing.assert_allclose(share("chi2", values, rho), chi2_reference(numpy.array(values), rho), atol=1e-6)


@quick
@given(values=contributions, rho=strengths, seed=st.integers(0, 2**31))
def test_chi2_is_feasible_and_no_feasible_point_is_better(values: list[float], rho: float, seed: int) -> None:
    c, tasks = numpy.array(values), len(values)
    found = share("chi2", values, rho)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert 0.5 * tasks * ((found - 1 / tasks) ** 2).sum() <= rho + 1e-9
    points = numpy.random.default_rng(seed).dirichlet(numpy.full(tasks, 0.5), 2000)
    distance = 0.5 * tasks * ((points - 1 / tasks) ** 2).sum(1)
    shrink = numpy.minimum(1, numpy.sqrt(rho / numpy.maximum(distance, 1e-300)))[:, None]
    rivals = 1 / tasks + shrink * (points - 1 / tasks)
    assert (rivals @ c).max() <= found @ c + 1e-9 * c.max()


@quick
@given(values=contributions.map(spread_out).filter(lambda kept: len(kept) > 1), rho=st.floats(1e-4, 0.2))
def test_chi2_is_the_formula_while_no_share_is_negative(values: list[float], rho: float) -> None:
    c = numpy.array(values)
    formula = (1 + numpy.sqrt(2 * rho) * (c - c.mean()) / c.std()) / len(c)
    if formula.min() >= 0:
        numpy.testing.assert_allclose(share("chi2", values, rho), formula, atol=1e-12)


@quick
@given(values=contributions.map(spread_out).filter(lambda kept: len(kept) > 1), rho=st.floats(1e-3, 3))
def test_kl_is_the_root(values: list[float], rho: float) -> None:
    numpy.testing.assert_allclose(share("kl", values, rho), kl_reference(numpy.array(values), rho), atol=1e-8)


@quick
@given(values=contributions, lam=st.floats(0, 50))
def test_variance_is_the_formula_floored_at_zero(values: list[float], lam: float) -> None:
    c = numpy.array(values)
    slopes = numpy.maximum(1 + 2 * lam * (c / c.mean() - 1) - lam * c.var() / c.mean() ** 2, 0)
    numpy.testing.assert_allclose(share("variance", values, lam), slopes / slopes.sum(), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(problem=problems(low=2, high=5, spread=1.0), alpha=st.floats(0, 1))
def test_log_variance_minimises_its_objective(problem: tuple[Tensor, Tensor], alpha: float) -> None:
    losses, gradients = problem
    logs = numpy.stack([losses.log().numpy(), gradients.norm(dim=1).log().numpy()])

    def objective(log_weights: Array) -> float:
        return float((1 - alpha) * (log_weights + logs[0]).var() + alpha * (log_weights + logs[1]).var())

    weights = emtl.create("emtl", len(losses), alpha=alpha, beta=0.0).weights(losses, gram(gradients))
    best = minimize(objective, numpy.zeros(len(losses)), tol=1e-14)
    assert objective(weights.log().numpy()) <= best.fun + 1e-9
    formula = losses ** (alpha - 1) * gradients.norm(dim=1) ** -alpha
    torch.testing.assert_close(weights, formula * len(losses) / formula.sum(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("form", "strength"), [("chi2", 0.0), ("variance", 0.0), ("kl", 0.0), ("log_variance", 1.0)])
@quick
@given(problem=problems(low=2, spread=2.5))
def test_at_zero_strength_gradients_are_normalised(form: str, strength: float, problem: tuple[Tensor, Tensor]) -> None:
    losses, gradients = problem
    option = {"chi2": "rho", "kl": "rho", "variance": "lam", "log_variance": "alpha"}[form]
    strategy = emtl.create("emtl", len(losses), regularizer=form, beta=0.0, **{option: strength})
    inverse = 1 / gradients.norm(dim=1)
    expected = len(losses) * inverse / inverse.sum()
    torch.testing.assert_close(strategy.weights(losses, gram(gradients)), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(emtl.create("normalized", len(losses)).weights(losses, gram(gradients)), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@quick
@given(tasks=st.integers(1, 7), value=st.floats(1e-6, 1e6), strength=strengths, seed=st.integers(0, 99))
def test_equal_contributions_get_equal_shares(form: str, tasks: int, value: float, strength: float, seed: int) -> None:
    """Equal up to rounding, as contributions that come out of a division are."""
    rounding = 1 + 1e-16 * numpy.random.default_rng(seed).integers(-4, 5, tasks)
    numpy.testing.assert_allclose(share(form, list(value * rounding), strength), numpy.full(tasks, 1 / tasks), atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@quick
@given(values=contributions, strength=strengths)
def test_shares_grow_with_contributions(form: str, values: list[float], strength: float) -> None:
    """In the first three forms; in `log_variance` they fall."""
    ordered = share(form, sorted(values, reverse=form == "log_variance"), strength)
    assert (numpy.diff(ordered) >= -1e-12).all()


@pytest.mark.parametrize("form", FORMS)
@quick
@given(values=contributions, strength=strengths, power=st.floats(-5, 5))
def test_a_common_factor_changes_nothing(form: str, values: list[float], strength: float, power: float) -> None:
    scaled = [value * 10**power for value in values]
    numpy.testing.assert_allclose(share(form, scaled, strength), share(form, values, strength), atol=1e-8)


def test_chi2_and_kl_past_the_last_corner_go_to_the_largest_alone() -> None:
    for form in ("chi2", "kl"):
        numpy.testing.assert_allclose(share(form, [1.0, 3.0, 2.0], 100.0), [0, 1, 0], atol=1e-12)
        numpy.testing.assert_allclose(share(form, [3.0, 1.0, 3.0], 100.0), [0.5, 0, 0.5], atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_shares_take_batches(form: str) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(5, 4, generator=generator, dtype=torch.float64) + 0.1
    present = torch.tensor([True, False, True, True]).expand(5, 4)
    function = getattr(shares, form)
    torch.testing.assert_close(function(rows, present, 0.7), torch.stack([function(row, present[0], 0.7) for row in rows]))


def objective(form: str, c: Tensor) -> Tensor:
    """The objective of the table, with torch's own reductions; kl by its dual min_tau tau log mean exp(c / tau) + tau rho."""
    if form == "chi2":
        return c.mean() + (2 * 0.05 * c.var(correction=0)).sqrt()
    if form == "variance":
        return c.mean() + 0.4 * c.var(correction=0) / c.mean()
    values = c.detach().numpy()

    def dual(log_tau: float) -> float:
        tau = numpy.exp(log_tau)
        return float(tau * numpy.log(numpy.mean(numpy.exp((values - values.max()) / tau))) + values.max() + tau * 0.05)

    centre = numpy.log(values.std())
    tau = float(numpy.exp(minimize_scalar(dual, bounds=(centre - 5, centre + 5), options={"xatol": 1e-12}).x))
    return tau * (torch.logsumexp(c / tau, 0) - numpy.log(len(values))) + tau * 0.05


@pytest.mark.parametrize(("form", "options"), [("chi2", {"rho": 0.05}), ("variance", {"lam": 0.4}), ("kl", {"rho": 0.05})])
@pytest.mark.parametrize("seed", range(4))
def test_the_update_is_the_gradient_of_the_objective_with_norms_held(form: str, options: dict[str, float], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    maps = torch.randn(3, 5, 6, generator=generator, dtype=torch.float64)
    losses = (maps @ shared - 1).square().mean(1) * torch.tensor([1.0, 30.0, 0.02], dtype=torch.float64)
    gradients = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses])
    (expected,) = torch.autograd.grad(objective(form, losses / gradients.norm(dim=1)), shared)
    update = emtl.create("emtl", 3, regularizer=form, beta=0.0, **options).weights(losses.detach(), gram(gradients)) @ gradients
    factor = (update @ expected) / (expected @ expected)
    assert factor > 0
    torch.testing.assert_close(update, factor * expected, rtol=1e-6, atol=1e-8 * update.norm().item())


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9])
def test_averages_are_corrected_for_their_start_and_count_a_task_s_own_steps(beta: float) -> None:
    generator = torch.Generator().manual_seed(3)
    losses = torch.rand(12, 3, generator=generator, dtype=torch.float64) + 0.1
    norms = torch.rand(12, 3, generator=generator, dtype=torch.float64) + 0.1
    present = torch.rand(12, 3, generator=generator) < 0.7
    present[:, 0] = True
    strategy = emtl.create("emtl", 3, beta=beta)
    for step in range(12):
        weights = strategy.weights(losses[step], torch.diag((norms[step] * present[step]).square()))
        expected = torch.zeros(3, dtype=torch.float64)
        for task in range(3):
            seen = [past for past in range(step + 1) if present[past, task]]
            if present[step, task]:
                factors = torch.tensor([beta ** (len(seen) - 1 - place) for place in range(len(seen))], dtype=torch.float64)
                mean_loss = (factors @ losses[seen, task]) / factors.sum()
                mean_norm = (factors @ norms[seen, task]) / factors.sum()
                expected[task] = (mean_loss * mean_norm) ** -0.5
        torch.testing.assert_close(weights, expected * present[step].sum() / expected.sum(), rtol=1e-10, atol=1e-12)


def test_the_cap_is_where_it_is_documented() -> None:
    """Weights follow 1 / norm until a contribution is CAP times the median one, and stay from there."""
    losses = torch.ones(3, dtype=torch.float64)

    def ratio(norm: float) -> float:
        weights = emtl.create("emtl", 3, alpha=1.0, beta=0.0).weights(losses, torch.diag(torch.tensor([1.0, norm**2, 1.0]).double()))
        return (weights[1] / weights[0]).item()

    assert ratio(10 / CAP) == pytest.approx(CAP / 10)
    assert ratio(0.1 / CAP) == pytest.approx(CAP)
    assert ratio(1e-12) == pytest.approx(CAP)
