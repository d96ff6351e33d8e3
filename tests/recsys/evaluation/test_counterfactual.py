from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from request_logs import with_requests

from recsys.data.synthetic import Spec, tables
from recsys.errors import InputError
from recsys.evaluation.comparison import PolicyValue
from recsys.evaluation.counterfactual import Policy, Ratio, Reward, compare_policies, doubts, values_of
from recsys.evaluation.exposure import ExposureLog, choose_first, choose_softly
from recsys.evaluation.formula import parse

F = parse("f", ["f"])


def policy_values(log: ExposureLog, scores: np.ndarray, rewards: object, model: object = None, **options: float) -> list[PolicyValue]:
    """One candidate's values of the policy that ranks by `scores`."""
    reward = Reward("click", rewards, {} if model is None else {"b": model})  # type: ignore[arg-type, dict-item]
    return compare_policies(log, F, {"b": {"f": scores}}, reward, baseline="b", **options)


def told(log: ExposureLog, scores: np.ndarray) -> list[str]:
    return doubts(log, F, {"b": {"f": scores}})


@dataclass
class Bandit:
    """Requests of 5 candidates with a known mean reward each, one of which a softmax of its own shows; (R, 5) each."""

    requests: int
    seed: int = 0

    def __post_init__(self) -> None:
        random = np.random.default_rng([self.seed, 1])
        self.means = random.uniform(0.05, 0.6, (self.requests, 5))
        self.scores = self.means + random.normal(0, 0.15, self.means.shape)
        chances = np.exp(random.normal(0, 0.8, self.means.shape))
        self.logging = chances / chances.sum(1, keepdims=True)
        self.users = np.repeat(random.integers(0, max(self.requests // 4, 1), self.requests), 5)
        self.ids = np.repeat(np.arange(self.requests), 5)

    def shown(self, random: np.random.Generator) -> np.ndarray:
        """(R, 5) what the logging policy shows, one a request."""
        place = (random.random((self.requests, 1)) > np.cumsum(self.logging, 1)).sum(1)
        return np.arange(5) == np.minimum(place, 4)[:, None]

    def log(self, shown: np.ndarray, propensities: np.ndarray | None = None, users: bool = False) -> ExposureLog:
        given = self.logging if propensities is None else propensities
        return ExposureLog.of(self.ids, shown.ravel(), given.ravel(), self.users if users else None)

    def truth(self, chances: np.ndarray) -> float:
        return float((chances.reshape(self.means.shape) * self.means).sum(1).mean())


def by_every_choice(bandit: Bandit, model: np.ndarray | None, propensities: np.ndarray | None = None) -> dict[str, float]:
    """The expectation of each linear estimator over what the logging policy might show, without simulation: sum_a p(a) estimate(a)."""
    expected = {"ips": 0.0, "doubly_robust": 0.0}
    for request in range(bandit.requests):
        one = Bandit.__new__(Bandit)
        one.requests, one.ids = 1, np.zeros(5, int)
        one.means, one.scores, one.logging = (part[request : request + 1] for part in (bandit.means, bandit.scores, bandit.logging))
        given = None if propensities is None else propensities[request : request + 1]
        for choice in range(5):
            log = one.log(np.arange(5) == choice, given)
            policy = Policy.on(log, choose_softly(log, one.scores.ravel(), 0.1), math.inf)
            predicted = None if model is None else model[request]
            found = values_of(log, policy, one.means.ravel(), predicted)
            for name in expected.keys() & found.keys():
                expected[name] += one.logging[0, choice] * found[name].value / bandit.requests
    return expected


def softly(bandit: Bandit) -> np.ndarray:
    chances = np.exp(bandit.scores / 0.1)
    return chances / chances.sum(1, keepdims=True)


def test_ips_and_doubly_robust_have_exactly_the_true_expectation() -> None:
    bandit = Bandit(20)
    truth = bandit.truth(softly(bandit))
    wrong_model = np.random.default_rng(2).random(bandit.means.shape)
    found = by_every_choice(bandit, wrong_model)
    assert found["ips"] == pytest.approx(truth, abs=1e-12)
    assert found["doubly_robust"] == pytest.approx(truth, abs=1e-12)


def test_doubly_robust_needs_only_one_of_model_and_propensities() -> None:
    bandit = Bandit(20)
    truth = bandit.truth(softly(bandit))
    wrong = np.random.default_rng(3).uniform(0.1, 0.9, bandit.means.shape)
    right_model = by_every_choice(bandit, bandit.means, wrong)
    assert right_model["doubly_robust"] == pytest.approx(truth, abs=1e-12)
    assert abs(right_model["ips"] - truth) > 0.01
    assert abs(by_every_choice(bandit, 0.5 * bandit.means, wrong)["doubly_robust"] - truth) > 0.01


def test_simulated_logs_estimate_the_truth_and_their_intervals_cover_it() -> None:
    bandit, random = Bandit(1000), np.random.default_rng(4)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(400):
        shown = bandit.shown(random)
        rewards = random.random(bandit.means.shape) < bandit.means
        values = policy_values(bandit.log(shown), bandit.scores.ravel(), rewards.ravel(), 0.8 * bandit.means.ravel())
        for value in values[1:]:
            found.setdefault(value.estimator, []).append((value.value, value.low, value.high))
    best = bandit.scores == bandit.scores.max(1, keepdims=True)
    truth = bandit.truth(best)
    for name, estimates in found.items():
        values, low, high = np.array(estimates).T
        assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(values.size), name
        # The bandit is fixed over replicates while the interval also allows for other requests: it may only cover more.
        assert 0.92 <= ((low <= truth) & (truth <= high)).mean() <= 1, name
    deviation = {name: np.array(estimates)[:, 0].std() for name, estimates in found.items()}
    assert deviation["doubly_robust"] < deviation["ips"]


def test_intervals_by_user_cover_when_users_differ() -> None:
    """New users each time, whose requests share a taste: taking requests as independent covers too little."""
    random, truth = np.random.default_rng(5), 0.5
    covered = {"users": 0, "requests": 0}
    for _ in range(400):
        taste = np.repeat(random.uniform(0.1, 0.9, 60), 20)  # 60 users, 20 requests of two candidates each
        shown = np.arange(2) == random.integers(0, 2, taste.size)[:, None]
        rewards = (random.random(shown.shape) < taste[:, None]).ravel()
        ids, chances = np.repeat(np.arange(taste.size), 2), np.full(shown.size, 0.5)
        for name, users in (("users", np.repeat(np.arange(60), 40)), ("requests", None)):
            log = ExposureLog.of(ids, shown.ravel(), chances, users)
            estimate = values_of(log, Policy.on(log, chances, math.inf), rewards)["snips"].estimate()
            covered[name] += estimate.low <= truth <= estimate.high
    assert 0.92 <= covered["users"] / 400 <= 0.98
    assert covered["requests"] / 400 < 0.8


def test_by_hand() -> None:
    # Two requests of two candidates, rows of the requests mixed; the policy takes rows 0 and 3, of which row 0 was shown.
    log = ExposureLog.of(["x", "b", "x", "b"], [True, True, False, False], [0.25, 0.5, math.nan, 0.0])
    values = np.array([2.0, 1.0, 1.0, 3.0])
    logged, ips, snips, robust = policy_values(log, values, [1.0, 9.0, math.nan, math.nan], [0.5, 3.0, 4.0, 2.0])
    assert (logged.value, ips.value, snips.value) == (5.0, (1 / 0.25) / 2, 1.0)
    assert robust.value == pytest.approx(((0.5 + 4 * (1 - 0.5)) + 2.0) / 2)
    assert (ips.effective_rows, ips.clipped, ips.requests, logged.effective_rows) == (1.0, 0.0, 2, 2.0)
    clipped = policy_values(log, values, [1.0, 9.0, 0, 0], clip=3.0)
    assert [value.estimator for value in clipped] == ["logged", "ips", "snips"]
    assert (clipped[1].value, clipped[1].clipped, clipped[1].clip, clipped[2].value) == (1.5, 1.0, 3.0, 1.0)


def test_policies_choose_within_requests() -> None:
    log = ExposureLog.of([0, 1, 0, 1, 0], [True] * 5, [1.0] * 5)
    values = np.array([1.0, -math.inf, 3.0, -math.inf, 3.0])
    assert log.order.tolist() == [0, 2, 4, 1, 3]
    assert choose_first(log, values).tolist() == [0, 0.5, 0.5, 0.5, 0.5]
    softly = choose_softly(log, np.array([1.0, 1000.0, 3.0, 1000.0, 2.0]), 0.5)
    np.testing.assert_allclose(softly[:3], np.exp([2, 6, 4]) / np.exp([2, 6, 4]).sum())
    assert softly[3:].tolist() == [0.5, 0.5]
    with pytest.raises(InputError, match="2 values of the formula are infinite"):
        choose_softly(log, values, 0.5)


def test_effective_rows_are_kishs() -> None:
    log = ExposureLog.of(np.arange(3), [True] * 3, [1.0, 0.5, 0.25])
    assert Policy.on(log, np.ones(3), math.inf).effective_rows == pytest.approx(49 / 21)
    assert Policy.on(log, np.ones(3), 1.0).effective_rows == 3


def test_the_order_of_rows_does_not_matter() -> None:
    bandit, random = Bandit(200), np.random.default_rng(6)
    shown, rewards, model = bandit.shown(random).ravel(), random.random(1000), random.random(1000)
    columns = (bandit.ids, shown, bandit.logging.ravel(), bandit.users, bandit.scores.ravel(), rewards, model)

    def value(order: np.ndarray) -> list[float]:
        ids, exposed, chances, users, scores, earned, predicted = (column[order] for column in columns)
        log = ExposureLog.of(ids, exposed, chances, users)
        return [number for part in policy_values(log, scores, earned, predicted) for number in (part.value, part.low, part.high)]

    np.testing.assert_allclose(value(random.permutation(1000)), value(np.arange(1000)), rtol=1e-12)


def test_a_ratio_of_sums_has_the_textbook_deviation() -> None:
    random = np.random.default_rng(7)
    log = ExposureLog.of(np.arange(50), [True] * 50, np.ones(50))
    values = random.random(50)
    mean = Ratio.of(log, values, np.ones(50)).estimate()
    assert mean.value == pytest.approx(values.mean())
    assert mean.deviation == pytest.approx(values.std(ddof=1) / math.sqrt(50))


def test_doubts_are_told() -> None:
    bandit, random = Bandit(2000), np.random.default_rng(8)
    shown = bandit.shown(random)
    scores = bandit.scores.ravel()
    assert told(bandit.log(shown), scores) == []
    (wrong,) = told(bandit.log(shown, 0.5 * bandit.logging), scores)
    assert "its weights average" in wrong
    only_shown = shown.ravel()
    incomplete = ExposureLog.of(bandit.ids[only_shown], np.ones(2000, bool), bandit.logging.ravel()[only_shown])
    assert "candidates that were not shown are missing" in told(incomplete, scores[only_shown])[0]
    few = Bandit(30)
    assert any("effective rows are too few" in doubt for doubt in told(few.log(few.shown(random)), few.scores.ravel()))
    unseen = ExposureLog.of([0, 0], [True, False], [0.5, 0.5])
    assert told(unseen, np.array([1.0, 2.0])) == ["Policy f of b: none of its choices was shown, so the log says nothing about it."]
    assert math.isnan(values_of(unseen, Policy.on(unseen, np.array([0.0, 1.0]), 9.0), [1.0, 0.0])["snips"].value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0, 0], [True, False], [0.0, 0.5]), "propensity of 1 of 1 shown rows is not in (0, 1], first 0.0 in row 0"),
        (([0, 0], [True, True], [0.5, math.nan]), "propensity of 1 of 2 shown rows is not in (0, 1], first nan in row 1"),
        (([0, 0], [False, False], [0.5, 0.5]), "no row of the log was shown"),
        (([0, 0], pa.array([1, None]), [0.5, 0.5]), "neither 0 nor 1 in 1 of 2 rows, first nan in row 1"),
        (([0, 0], [1, 2], [0.5, 0.5]), "neither 0 nor 1 in 1 of 2 rows, first 2 in row 1"),
        ((pa.array([0, None]), [1, 0], [0.5, 0.5]), "requests: 1 of 2 groups are null"),
        (([0, 0], [1, 0], [0.5, 0.5], pa.array(["u", None])), "users: 1 of 2 groups are null"),
        (([0, 0], [True, False], [0.5, 0.5], ["u", "v"]), "1 of 1 requests have rows of several users"),
    ],
)
def test_a_log_that_cannot_be_used_is_refused(columns: tuple, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        ExposureLog.of(*columns)
    assert message in str(refusal.value)


def test_a_shown_row_without_a_reward_is_refused() -> None:
    log = ExposureLog.of([0, 1], [True, True], [1.0, 1.0])
    with pytest.raises(InputError, match="1 rewards of shown rows are NaN or infinite"):
        policy_values(log, np.ones(2), [1.0, math.nan])


def test_policies_are_compared_in_pairs_and_their_intervals_cover_the_true_difference() -> None:
    bandit, random = Bandit(1000), np.random.default_rng(9)
    near = bandit.scores + 0.05 * random.normal(size=bandit.scores.shape)
    scores = {"a": {"f": bandit.scores.ravel()}, "b": {"f": near.ravel()}}
    best = [part == part.max(1, keepdims=True) for part in (near, bandit.scores)]
    truth = bandit.truth(best[0]) - bandit.truth(best[1])
    paired: list[float] = []
    unpaired: list[float] = []
    covered = dict.fromkeys(("logged", "ips", "snips", "doubly_robust"), 0)
    for _ in range(200):
        shown = bandit.shown(random)
        rewards = (random.random(bandit.means.shape) < bandit.means).ravel()
        models = {name: 0.8 * bandit.means.ravel() for name in scores}
        values = compare_policies(bandit.log(shown, users=True), F, scores, Reward("click", rewards, models), baseline="a")
        for one, other in zip(values[:4], values[4:], strict=True):
            assert math.isnan(one.difference)
            assert other.difference == pytest.approx(other.value - one.value, abs=1e-12)
            covered[other.estimator] += other.difference_low <= truth <= other.difference_high
            paired.append(other.difference_high - other.difference_low)
            unpaired.append(math.hypot(one.high - one.low, other.high - other.low))
    assert (values[4].difference, values[4].difference_low, values[4].difference_high) == (0, 0, 0)
    assert np.mean(paired) < 0.8 * np.mean(unpaired)
    # As above, the interval also allows for other requests.
    assert all(covered[name] / 200 >= 0.92 for name in ("ips", "snips", "doubly_robust"))


@pytest.mark.slow
def test_two_million_candidates_take_a_few_seconds() -> None:
    rows, requests, random = 2_000_000, 200_000, np.random.default_rng(0)
    shown = (np.arange(10) == random.integers(0, 10, (requests, 1))).ravel()
    scores = {name: {task: random.random(rows) for task in ("ctr", "cvr", "dwell")} for name in "ab"}
    clicks = Reward("click", random.random(rows) < scores["a"]["ctr"], {name: scores[name]["ctr"] for name in scores})
    start = time.process_time()
    log = ExposureLog.of(np.repeat(np.arange(requests), 10), shown, np.full(rows, 0.1), np.repeat(np.arange(requests // 5), 50))
    compare_policies(log, parse("ctr^0.7 * cvr^0.3 * dwell^0.5", list(scores["a"])), scores, clicks, baseline="a")
    spent = time.process_time() - start
    print(f"2 million candidates in 200,000 requests, two policies: {spent:.2f} s of processor time")
    assert spent < 8


def test_what_a_policy_earns_in_a_synthetic_log_is_found_from_another_policys_log() -> None:
    rows = next(tables(Spec(rows=30_000, users=300), chunk=30_000))
    covered: dict[str, int] = {}
    for seed in range(20):
        log = with_requests(rows, 5, seed)
        columns = {name: log[name].to_numpy() for name in ("request_id", "shown", "propensity", "user_id", "click", "p_click")}
        exposures = ExposureLog.of(columns["request_id"], columns["shown"], columns["propensity"], columns["user_id"])
        assert exposures.requests == columns["shown"].sum() > 5_000
        score = columns["p_click"] + 0.05 * np.random.default_rng(seed).normal(size=columns["click"].size)
        truth = columns["p_click"].reshape(-1, 5)[np.arange(exposures.requests), score.reshape(-1, 5).argmax(1)].mean()
        logged, *estimates = policy_values(exposures, score, columns["click"], score)
        assert logged.high < truth
        for part in estimates:
            covered[part.estimator] = covered.get(part.estimator, 0) + (part.low <= truth <= part.high)
        assert told(exposures, score) == []
    assert min(covered.values()) >= 17  # of 20, at 95 %
