"""Strategies of losses and norms against independent references: plain loops, autograd with torch's Adam, published values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq
from torch import Tensor

import emtl
from emtl import draws
from emtl.adam import Adam

MINE = [
    ("balancer", {"decay": 0.9}),
    ("bandit", {}),
    ("chebyshev", {"warmup": 4, "mu": 0.5}),
    ("dwa", {"window": 2}),
    ("famo", {}),
    ("fixed", {}),
    ("geometric", {}),
    ("gradnorm", {}),
    ("log", {}),
    ("metabalance", {}),
    ("random", {}),
    ("smoothed", {"of": "normalized"}),
    ("uncertainty", {}),
    ("uncertainty_soft", {}),
]
every_one = pytest.mark.parametrize(("name", "options"), MINE, ids=[name for name, _ in MINE])
quick = settings(max_examples=25, deadline=None)
losses_of_three = st.lists(st.floats(0.01, 100), min_size=3, max_size=3)
courses = st.lists(losses_of_three, min_size=2, max_size=8)


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def course(steps: int, tasks: int = 3, seed: int = 0) -> Tensor:
    """(steps, tasks) losses that fall at different rates, with noise."""
    generator = torch.Generator().manual_seed(seed)
    fall = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None] * torch.linspace(0.2, 2, tasks, dtype=torch.float64)
    noise = 0.2 * torch.randn(steps, tasks, generator=generator, dtype=torch.float64)
    return (noise - fall).exp() * torch.logspace(-1, 1, tasks, dtype=torch.float64)


def norms(steps: int, tasks: int = 3, seed: int = 1) -> Tensor:
    return 10 ** torch.rand(steps, tasks, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scaled(weights: Tensor) -> Tensor:
    return weights * len(weights) / weights.sum()


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-10) -> None:
    torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


# Random numbers


def splitmix(state: int) -> int:
    """The published output function, in unbounded integers."""
    mask = (1 << 64) - 1
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@quick
@given(seed=st.integers(0, 2**63 - 1), step=st.integers(0, 2**40))
def test_uniform_draws_are_the_published_hash(seed: int, step: int) -> None:
    gamma, mask = 0x9E3779B97F4A7C15, (1 << 64) - 1
    key = splitmix((splitmix((seed + step) & mask) + step * gamma) & mask)
    expected = [((splitmix((key + index * gamma) & mask) >> 11) + 0.5) * 2.0**-53 for index in (1, 2, 3)]
    assert draws.uniform(seed, torch.tensor(step), 3).tolist() == expected


def test_normal_draws_are_normal_and_independent_of_step_seed_and_neighbour() -> None:
    numbers = torch.stack([draws.normal(seed, torch.tensor(step), 5) for seed in range(4) for step in range(400)]).numpy()
    assert stats.kstest(numbers.ravel(), "norm").pvalue > 0.01
    assert numpy.abs(numpy.corrcoef(numbers.T) - numpy.eye(5)).max() < 0.1
    assert abs(numpy.corrcoef(numbers[:-1, 0], numbers[1:, 0])[0, 1]) < 0.1
    assert abs(numpy.corrcoef(numbers[:400, 0], numbers[400:800, 0])[0, 1]) < 0.2


def test_random_is_the_softmax_of_the_draw_in_every_process_and_after_a_resume() -> None:
    one, other = (emtl.create("random", 4, seed=3) for _ in range(2))
    resumed = emtl.create("random", 4, seed=3)
    seen = []
    for step in range(5):
        weights = one.weights(torch.ones(4))
        assert torch.equal(weights, other.weights(torch.rand(4)))
        close(weights, 4 * draws.normal(3, torch.tensor(step), 4).softmax(0))
        seen.append(weights)
        resumed.load_state_dict(one.state_dict())
    assert torch.equal(resumed.weights(torch.ones(4)), one.weights(torch.ones(4)))
    assert len({tuple(weights.tolist()) for weights in seen}) == 5
    assert not torch.equal(emtl.create("random", 4, seed=4).weights(torch.ones(4)), seen[0])


# What several share


def test_adam_is_that_of_torch() -> None:
    gradients = course(30)
    values, leaf = tensor([0.1, -0.2, 0.3]), tensor([0.1, -0.2, 0.3]).requires_grad_()
    adam, reference = Adam(3, 0.05, 0.01), torch.optim.Adam([leaf], lr=0.05, weight_decay=0.01)
    for gradient in gradients:
        adam.update(values, gradient, torch.ones(3, dtype=torch.bool))
        leaf.grad = gradient.clone()
        reference.step()
        close(values, leaf.detach(), 1e-12)


@every_one
def test_a_task_absent_for_some_steps_comes_back_as_it_went(name: str, options: dict[str, Any]) -> None:
    """No number that is kept of task 1 moves while it is absent, and those of the others do, where there are any."""
    strategy, losses, lengths = emtl.create(name, 3, **options), course(7), norms(7)
    for step in range(3):
        strategy.weights(losses[step], lengths[step].square().diag())
    before = {key: value.clone() for key, value in strategy.state_dict().items() if value.shape == (3,)}
    there = tensor([1.0, 0.0, 1.0])
    for step in range(3, 7):
        weights = strategy.weights(losses[step] * there, (lengths[step] * there).square().diag())
        assert weights[1] == 0
        assert weights.sum().item() == pytest.approx(2)
    after = {key: value for key, value in strategy.state_dict().items() if value.shape == (3,)}
    assert all(after[key][1] == value[1] for key, value in before.items())
    assert not before or any((after[key] != value).any() for key, value in before.items())


@every_one
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_does_not_stay(name: str, options: dict[str, Any], bad: float) -> None:
    strategy, losses = emtl.create(name, 3, **options), course(8)
    for step in range(4):
        strategy.weights(losses[step], torch.eye(3))
    strategy.weights(tensor([1.0, bad, 1.0]), torch.eye(3))
    assert all(value.isfinite().all() for value in strategy.state_dict().values())
    for step in range(4, 8):
        assert strategy.weights(losses[step], torch.eye(3)).isfinite().all()


@every_one
def test_a_resumed_run_goes_on_as_the_first(name: str, options: dict[str, Any]) -> None:
    strategy, resumed = emtl.create(name, 3, **options), emtl.create(name, 3, **options)
    losses, lengths = course(12), norms(12)
    for step in range(7):
        strategy.weights(losses[step], lengths[step].square().diag())
    resumed.load_state_dict({key: value.clone() for key, value in strategy.state_dict().items()})
    for step in range(7, 12):
        weights = strategy.weights(losses[step], lengths[step].square().diag())
        assert torch.equal(weights, resumed.weights(losses[step], lengths[step].square().diag()))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fixed", {"weights": [1, 2]}, "weights must be a list of 3 numbers, one a task, but got [1, 2]"),
        ("fixed", {"weights": 2.0}, "weights must be a list of 3 numbers, one a task, but got 2.0"),
        ("fixed", {"weights": [1, 0, 1]}, "weights[1] must be positive, but got 0"),
        ("fixed", {"weights": [1, 1, "x"]}, "weights[2] must be a finite number, but got 'x'"),
        ("random", {"seed": -1}, "seed must be in [0, 9.22337e+18], but got -1"),
        ("random", {"seed": 0.5}, "seed must be an integer, but got 0.5"),
        ("uncertainty", {"lr": 0}, "lr must be positive, but got 0"),
        ("uncertainty_soft", {"T": -1.0}, "T must be positive, but got -1.0"),
        ("uncertainty_soft", {"t": 1.0}, "unknown option 't' of strategy 'uncertainty_soft'; the nearest is 'T'"),
        ("dwa", {"T": 0.0}, "T must be positive, but got 0.0"),
        ("dwa", {"window": 0}, "window must be at least 1, but got 0"),
        ("bandit", {"rho": -1}, "rho must be non-negative, but got -1"),
        ("bandit", {"eta": 0}, "eta must be positive, but got 0"),
        ("famo", {"lr": 0.0}, "lr must be positive, but got 0.0"),
        ("famo", {"decay": -0.1}, "decay must be non-negative, but got -0.1"),
        ("chebyshev", {"mu": 0}, "mu must be positive, but got 0"),
        ("chebyshev", {"warmup": 0}, "warmup must be at least 1, but got 0"),
        ("gradnorm", {"alpha": -0.5}, "alpha must be non-negative, but got -0.5"),
        ("gradnorm", {"lr": float("inf")}, "lr must be a finite number, but got inf"),
        ("metabalance", {"r": 1.1}, "r must be in [0, 1], but got 1.1"),
        ("metabalance", {"beta": 1.0}, "beta must be in [0, 1), but got 1.0"),
        ("metabalance", {"target": 3}, "target must be in [0, 2], but got 3"),
        ("balancer", {"decay": 1.0}, "decay must be in [0, 1), but got 1.0"),
        ("balancer", {"weights": [1, -1, 1]}, "weights[1] must be positive, but got -1"),
        ("smoothed", {"a": 1.0}, "a must be in [0, 1), but got 1.0"),
        ("smoothed", {"of": "smoothed"}, "of must be the name of another strategy, but got 'smoothed'"),
        ("smoothed", {"of": 3}, "of must be the name of another strategy, but got 3"),
        ("smoothed", {"of": "emtll"}, "unknown strategy 'emtll'; the nearest is 'emtl'"),
        ("smoothed", {"of": "emtl", "alhpa": 1.0}, "unknown option 'alhpa' of strategy 'smoothed'; the nearest is 'alpha'"),
        ("smoothed", {"of": "emtl", "alpha": 2.0}, "alpha must be in [0, 1], but got 2.0"),
        ("smoothed", {"of": "log", "alpha": 0.5}, "unknown option 'alpha' of strategy 'smoothed'; the nearest is 'a'"),
    ],
)
def test_refusals_are_one_line(name: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        emtl.check_options(name, 3, options)
    assert str(refusal.value) == message


# One by one


@quick
@given(given_weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=5))
def test_fixed_keeps_the_ratios(given_weights: list[float]) -> None:
    tasks = len(given_weights)
    weights = emtl.create("fixed", tasks, weights=given_weights).weights(torch.ones(tasks))
    close(weights, scaled(tensor(given_weights)))


@quick
@given(losses=losses_of_three)
def test_log_and_geometric_are_the_gradients_of_their_objectives(losses: list[float]) -> None:
    objectives: dict[str, Callable[[Tensor], Tensor]] = {
        "log": lambda leaf: leaf.log().sum(),
        "geometric": lambda leaf: leaf.prod() ** (1 / 3),
    }
    for name, objective in objectives.items():
        leaf = tensor(losses).requires_grad_()
        (slopes,) = torch.autograd.grad(objective(leaf), leaf)
        close(emtl.create(name, 3).weights(tensor(losses)), scaled(slopes))


def test_uncertainty_is_autograd_and_adam() -> None:
    strategy = emtl.create("uncertainty", 3, lr=0.05)
    leaf = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([leaf], lr=0.05)
    for losses in course(40):
        close(strategy.weights(losses), scaled((-leaf).exp().detach()))
        adam.zero_grad()
        (losses * (-leaf).exp() + leaf).sum().backward()
        adam.step()
    assert isinstance(strategy.log_variances, Tensor)
    close(strategy.log_variances, leaf.detach())


def test_uncertainty_tends_to_log_losses() -> None:
    strategy, losses = emtl.create("uncertainty", 3, lr=0.05), tensor([0.2, 1.0, 3.0])
    for _ in range(400):
        weights = strategy.weights(losses)
    close(weights, emtl.create("log", 3).weights(losses), 1e-3)


def test_published_values(reference: Path) -> None:
    """UW-SO and the first steps of BanditMTL and MetaBalance, computed by the methods' own code."""
    cases = json.loads((reference / "mto_vectors.json").read_text())["cases"]
    keys = {
        "uncertainty_soft": "UW-SO(T=1)",
        "bandit": "BanditMTL first step(rho=.05,eta_p=.5)",
        "metabalance": "MetaBalance(relax=.7,beta=.9, first step, one block, task 0 is the target)",
    }
    for case in cases:
        losses, gram = tensor(case["losses"]), tensor(case["G"])
        for name, key in keys.items():
            expected = tensor(case["official"][key]["weights"])
            weights = emtl.create(name, len(losses)).weights(losses, gram)
            torch.testing.assert_close(weights, scaled(expected), rtol=1e-6 if name == "metabalance" else 1e-9, atol=1e-15)
    assert len(cases) == 18


def dwa_reference(losses: Tensor, window: int, temperature: float) -> list[list[float]]:
    """Weights of each step, from lists of means of full windows."""
    found, steps, tasks = [], losses.tolist(), losses.shape[1]
    for step in range(len(steps)):
        means = [
            [sum(row[task] for row in steps[start : start + window]) / window for task in range(tasks)]
            for start in range(0, step - window + 1, window)
        ]
        ratios = [last / earlier for last, earlier in zip(means[-1], means[-2], strict=True)] if len(means) > 1 else [1.0] * tasks
        powers = [math.exp(ratio / temperature) for ratio in ratios]
        found.append([tasks * power / sum(powers) for power in powers])
    return found


@pytest.mark.parametrize("window", [1, 3])
def test_dwa_is_the_plain_loop(window: int) -> None:
    losses = course(14)
    strategy = emtl.create("dwa", 3, T=0.7, window=window)
    found = torch.stack([strategy.weights(row) for row in losses])
    close(found, tensor(dwa_reference(losses, window, 0.7)))
    assert (found[-1] - 1).abs().max() > 0.02


@quick
@given(rows=courses, power=st.floats(-6, 6))
def test_dwa_does_not_see_a_constant_factor(rows: list[list[float]], power: float) -> None:
    one, other = (emtl.create("dwa", 3, window=1) for _ in range(2))
    for row in rows:
        close(one.weights(tensor(row)), other.weights(tensor(row) * tensor([1.0, 10**power, 1.0])), 1e-9)


def bandit_step(shares: numpy.ndarray, losses: numpy.ndarray, rho: float, eta: float) -> numpy.ndarray:
    """p <- (p e^(eta l))^(1 / (1 + lam)), with lam by root-finding."""

    def powered(lam: float) -> numpy.ndarray:
        logits = (numpy.log(shares) + eta * losses) / (1 + lam)
        powers = numpy.exp(logits - logits.max())
        return powers / powers.sum()

    def excess(lam: float) -> float:
        p = powered(lam)
        return float((p * numpy.log(numpy.maximum(p * len(p), 1e-300))).sum()) - rho

    return powered(0.0) if excess(0.0) <= 0 else powered(brentq(excess, 0.0, 1e9, xtol=1e-14, rtol=1e-15))


@quick
@given(rows=courses, rho=st.floats(0.01, 0.8), eta=st.floats(0.01, 2))
def test_bandit_is_the_mirror_ascent_and_stays_in_its_ball(rows: list[list[float]], rho: float, eta: float) -> None:
    strategy, shares = emtl.create("bandit", 3, rho=rho, eta=eta), numpy.full(3, 1 / 3)
    for row in rows:
        shares = bandit_step(shares, numpy.array(row), rho, eta)
        weights = strategy.weights(tensor(row))
        numpy.testing.assert_allclose(weights.numpy() / 3, shares, rtol=1e-6, atol=1e-9)
        assert torch.special.entr(weights / 3).sum().item() >= math.log(3) - rho - 1e-9


def test_bandit_shares_move_among_the_tasks_present() -> None:
    """What the absent task holds is neither handed out nor lost: all shares go on summing to K."""
    strategy = emtl.create("bandit", 3, eta=0.1)
    strategy.weights(tensor([2.0, 0.1, 0.3]))
    for losses in ([2.0, 0.0, 0.5], [0.0, 3.0, 1.0], [1.0, 0.0, 3.0]):
        strategy.weights(tensor(losses))
        assert strategy.state_dict()["log_shares"].exp().sum().item() == pytest.approx(3)


def test_uncertainty_soft_has_its_temperature() -> None:
    losses = tensor([0.5, 1.0, 4.0])
    close(emtl.create("uncertainty_soft", 3, T=3.0).weights(losses), 3 * (1 / (3 * losses)).softmax(0))


def test_bandit_sees_differences_of_losses_alone() -> None:
    losses = tensor([-0.5, 0.0, 1.5])
    close(emtl.create("bandit", 3).weights(losses, torch.eye(3)), emtl.create("bandit", 3).weights(losses + 7))
    assert emtl.create("bandit", 3, rho=0).weights(losses + 1).tolist() == pytest.approx([1, 1, 1])


class OfficialFamo:
    """The published algorithm, by autograd and torch's Adam, without its constant 1e-8."""

    def __init__(self, lr: float, decay: float) -> None:
        self.logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        self.adam = torch.optim.Adam([self.logits], lr=lr, weight_decay=decay)

    def weights(self, losses: Tensor) -> Tensor:
        leaf = losses.clone().requires_grad_()
        shares = self.logits.softmax(0).detach()
        (slopes,) = torch.autograd.grad((shares * leaf.log()).sum() / (shares / losses).sum(), leaf)
        return 3 * slopes

    def update(self, before: Tensor, after: Tensor) -> None:
        self.adam.zero_grad()
        self.logits.softmax(0).backward(before.log() - after.log())
        self.adam.step()


@pytest.mark.parametrize("told", [True, False], ids=["after_step", "next_step"])
def test_famo_is_the_published_algorithm(told: bool) -> None:
    """A descent on three quadratics; told of the same losses after each step, or else of those of the next step."""
    strategy, official = emtl.create("famo", 3, lr=0.1, decay=0.01), OfficialFamo(0.1, 0.01)
    assert isinstance(strategy, emtl.strategies.FAMO)
    point, before = tensor([2.0, -1.0]), None
    centres, sizes = tensor([[0.0, 1.0], [1.0, 0.0], [-1.0, -1.0]]), tensor([1.0, 30.0, 0.05])
    for step in range(25):
        factor = 1 + 0.3 * math.sin(step)  # a batch
        losses = factor * sizes * ((point - centres) ** 2).sum(1)
        if not told and before is not None:
            official.update(before, losses)
        before = losses
        expected = official.weights(losses)
        weights = strategy.weights(losses)
        close(weights, expected)
        point = point - 0.02 * (2 * factor * (weights * sizes)[:, None] * (point - centres)).sum(0)
        if told:
            after = factor * sizes * ((point - centres) ** 2).sum(1)
            strategy.after_step(after)
            official.update(losses, after)
    assert strategy.logits.abs().min() > 0.01


def test_famo_after_step_refuses_what_weights_refuse() -> None:
    strategy = emtl.create("famo", 2)
    assert isinstance(strategy, emtl.strategies.FAMO)
    with pytest.raises(ValueError, match=r"losses must have shape \(2,\), but got \(3,\)"):
        strategy.after_step(torch.ones(3))
    with pytest.raises(ValueError, match="the loss of task 1 is -1"):
        strategy.after_step(tensor([1.0, -1.0]))


@pytest.mark.parametrize("mu", [1.0, 0.2])
def test_chebyshev_is_the_gradient_of_its_objective(mu: float) -> None:
    losses = course(8)
    strategy = emtl.create("chebyshev", 3, mu=mu, warmup=3)
    reference_losses = losses[:3].mean(0)
    for step, row in enumerate(losses):
        weights = strategy.weights(row)
        leaf = row.clone().requires_grad_()
        objective = leaf.log().sum() if step < 3 else mu * ((leaf / reference_losses).log() / mu).logsumexp(0)
        close(weights, scaled(torch.autograd.grad(objective, leaf)[0]))
        if step >= 3 and mu == 1:
            close(weights, scaled(1 / reference_losses))


@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_gradnorm_is_autograd_through_the_norms(alpha: float) -> None:
    """The paper's algorithm on a small network, its norms taken at the shared representation with a graph."""
    generator = torch.Generator().manual_seed(0)
    rows, labels = (torch.randn(12, width, generator=generator, dtype=torch.float64) for width in (4, 3))
    bottom, towers = (torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in ((4, 5), (5, 3)))
    learnt, first = torch.ones(3, dtype=torch.float64, requires_grad=True), None
    adam = torch.optim.Adam([learnt], lr=0.025)
    strategy = emtl.create("gradnorm", 3, alpha=alpha)
    for _ in range(20):
        shared = (rows @ bottom).tanh().requires_grad_()
        losses = ((shared @ towers - labels) ** 2).mean(0) * tensor([1.0, 5.0, 0.2])
        first = losses.detach() if first is None else first
        lengths = torch.stack([torch.autograd.grad(learnt[k] * losses[k], shared, create_graph=True)[0].norm() for k in range(3)])
        rates = losses.detach() / first / (losses.detach() / first).mean()
        adam.zero_grad()
        (slopes,) = torch.autograd.grad((lengths - lengths.mean().detach() * rates**alpha).abs().sum(), learnt, retain_graph=True)
        gradients = torch.stack([torch.autograd.grad(losses[k], shared, retain_graph=True)[0].flatten() for k in range(3)])
        weights = strategy.weights(losses.detach(), gradients @ gradients.T)
        close(weights, learnt.detach())
        learnt.grad = slopes
        adam.step()
        with torch.no_grad():
            learnt.mul_(3 / learnt.sum())
            combined = (weights[:, None] * gradients).sum(0).view(12, 5)
            bottom = bottom - 0.3 * rows.T @ (combined * (1 - shared**2))
    assert (weights - 1).abs().max() > 0.2


def test_gradnorm_without_its_exponent_makes_gradients_as_long() -> None:
    strategy, lengths = emtl.create("gradnorm", 3, alpha=0.0, lr=0.006), tensor([1.0, 2.0, 5.0])
    for _ in range(400):
        weights = strategy.weights(torch.ones(3), lengths.square().diag())
    close(weights, scaled(1 / lengths), 0.05)


def test_metabalance_is_the_plain_loop_with_its_target() -> None:
    lengths = norms(10)
    strategy, kept = emtl.create("metabalance", 3, r=0.6, beta=0.8, target=2), torch.zeros(3, dtype=torch.float64)
    for row in lengths:
        kept = 0.8 * kept + 0.2 * row
        close(strategy.weights(torch.ones(3), row.square().diag()), scaled(0.6 * kept[2] / kept + 0.4))


def test_metabalance_without_its_target() -> None:
    strategy, there = emtl.create("metabalance", 3, r=1.0, beta=0.0), tensor([0.0, 1.0, 1.0])
    assert strategy.weights(torch.ones(3), tensor([0.0, 4.0, 16.0]).diag()).tolist() == [0.0, 1.0, 1.0]
    strategy.weights(torch.ones(3), tensor([9.0, 4.0, 16.0]).diag())
    close(strategy.weights(torch.ones(3), tensor([0.0, 4.0, 16.0]).diag())[1:], 2 * tensor([2 / 3, 1 / 3]))
    assert strategy.weights(there, torch.eye(3) * there).tolist() == [0.0, 1.0, 1.0]


def test_balancer_is_the_published_average_and_gives_shares() -> None:
    """Running totals of norms and of counts, as in EnCodec's code; with steady norms, shares of the update are those given."""
    strategy = emtl.create("balancer", 3, weights=[1, 2, 3], decay=0.9)
    total, count = torch.zeros(3, dtype=torch.float64), 0.0
    for row in norms(10):
        total, count = total * 0.9 + row, count * 0.9 + 1
        close(strategy.weights(torch.ones(3), row.square().diag()), scaled(tensor([1.0, 2.0, 3.0]) / 6 / (total / count)))
    steady = tensor([1e-3, 1.0, 1e3])
    weights = emtl.create("balancer", 3, weights=[1, 2, 3]).weights(torch.ones(3), steady.square().diag())
    close(weights * steady / (weights * steady).sum(), tensor([1.0, 2.0, 3.0]) / 6)


def test_smoothed_is_the_plain_average_from_equal_weights() -> None:
    strategy = emtl.create("smoothed", num_tasks=3, of="emtl", alpha=0.3, beta=0.5, a=0.7)
    inner, average = emtl.create("emtl", 3, alpha=0.3, beta=0.5), torch.ones(3, dtype=torch.float64)
    for losses, lengths in zip(course(8), norms(8), strict=True):
        average = 0.7 * average + 0.3 * inner.weights(losses, lengths.square().diag())
        close(strategy.weights(losses, lengths.square().diag()), average)


def test_smoothed_is_the_other_one_where_it_matters() -> None:
    assert emtl.create("smoothed", 2, of="log").needs is emtl.Needs.LOSSES
    assert emtl.create("smoothed", 2, of="normalized").needs is emtl.Needs.GRAM
    assert emtl.options("smoothed") == {"of": "emtl", "a": 0.9, **emtl.options("emtl")}
    with pytest.raises(ValueError, match="Log needs losses of at least 0, but the loss of task 0 is -1"):
        emtl.create("smoothed", 2, of="log").weights(tensor([-1.0, 1.0]))
    without = emtl.create("smoothed", 2, of="normalized", a=0.0)
    close(without.weights(torch.ones(2), tensor([1.0, 9.0]).diag()), tensor([1.5, 0.5]))


def test_smoothed_refuses_a_strategy_of_factors() -> None:
    @emtl.register("by_feature")
    class ByFeature(emtl.Strategy):
        """Factors, not weights."""

        coordinatewise = True

    try:
        with pytest.raises(ValueError, match="of must be a strategy that gives one weight a task, but got 'by_feature'"):
            emtl.create("smoothed", 2, of="by_feature")
    finally:
        del emtl.strategy._registry["by_feature"]
