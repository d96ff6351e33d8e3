"""What a policy would have earned, from the log of another: inverse propensity scoring, self-normalised, and doubly robust.

The setting. A request offers candidates: its rows in the log. The logging policy exposed some of them at random (in the request, or at
the place of interest, such as the first): `shown` marks these, `propensity` is the probability with which such a row was shown, and
only their rewards are read. A policy chooses one candidate a request, a with probability pi(a). The estimand is the policy's value

    V(pi) = mean over requests of  sum over its candidates of  pi(a) E[reward of a | shown],

the reward a request when the policy's choice is what is shown. What must hold: (1) a request's rows are all of its candidates; (2) the
propensities are those of the logging policy, and above 0 wherever pi is; (3) the reward of a row doesn't depend on which others are
shown. With w = pi(a) / propensity(a) where a is shown, 0 elsewhere, over R requests:

    IPS     (1/R) sum w r                                          Horvitz & Thompson, JASA 1952
    SNIPS   sum w r / sum w                                        Swaminathan & Joachims, NeurIPS 2015
    DR      (1/R) sum (pi q + w (r - q)), q predicts r             Dudik, Langford & Li, ICML 2011

IPS and DR have no bias (DR also where only q is right); SNIPS has one of the order of 1/R and less variance. Weights above `clip` are set
to it, which makes IPS too low for rewards above 0. Intervals are by user: the deviation of a ratio of sums over users (linearised), with
Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from recsys.errors import InputError
from recsys.evaluation.comparison import Estimator, PolicyValue
from recsys.evaluation.exposure import ExposureLog, Floats, choose
from recsys.evaluation.formula import Formula
from recsys.evaluation.intervals import Uncertain, uncertain

FEW = 100  # effective rows below which an interval that rests on normality isn't to be trusted


@dataclass(frozen=True)
class Policy:
    """A policy over the log's rows, in its order: chances (n,), and weights (n,) chances / propensity of what was shown, clipped."""

    chances: Floats
    weights: Floats
    effective_rows: float
    clipped: float
    mean_weight: Uncertain

    @classmethod
    def on(cls, log: ExposureLog, chances: Floats, clip: float) -> Policy:
        """Weigh the shown rows. effective_rows: (sum w)^2 / sum w^2 (Kish). clipped: share of the rows with a weight that were clipped.

        mean_weight: the weights' unclipped sum a request, which is 1 where the log is what it has to be.
        """
        weights = np.where(log.shown, chances / log.propensity, 0.0)
        weighted = int(np.count_nonzero(weights))
        clipped = np.count_nonzero(weights > clip) / weighted if weighted else 0.0
        mean_weight = Ratio.of(log, log.sums(weights), np.ones(log.requests)).estimate()
        weights = np.minimum(weights, clip)
        squares = float(np.square(weights).sum())
        return cls(chances, weights, float(weights.sum()) ** 2 / squares if squares else 0.0, clipped, mean_weight)


@dataclass(frozen=True)
class Ratio:
    """A sum over requests divided by another, and what each user adds to its error: influences (users,) sum to 0."""

    value: float
    influences: Floats

    @classmethod
    def of(cls, log: ExposureLog, numerators: Floats, denominators: Floats) -> Ratio:
        """From (R,) numerators and denominators; NaN where the denominators are all 0."""
        above, below = (np.bincount(log.clusters, part) for part in (numerators, denominators))
        total = float(below.sum())
        if not total:
            return cls(math.nan, np.full(below.size, math.nan))
        value = float(above.sum()) / total
        return cls(value, (above - value * below) / total)

    def __sub__(self, other: Ratio) -> Ratio:
        """The difference of two ratios of the same log; what they share cancels."""
        return Ratio(self.value - other.value, self.influences - other.influences)

    def estimate(self) -> Uncertain:
        """With the 95 % interval that users, drawn independently, give it."""
        users = self.influences.size
        variance = float(np.square(self.influences).sum()) * users / max(users - 1, 1)
        return uncertain(self.value, math.sqrt(variance), users - 1)


def values_of(log: ExposureLog, policy: Policy, rewards: ArrayLike, model: ArrayLike | None = None) -> dict[Estimator, Ratio]:
    """Estimates by name: `logged` (mean reward of what was shown), `ips`, `snips`, and `doubly_robust` where there is a model.

    Args:
        rewards: (n,) as given, read where shown.
        model: (n,) predicted rewards of all rows, by a model that was not fitted on these rows.

    Raises:
        InputError: NaN or infinite rewards of shown rows, or predictions.
    """
    reward = _finite(np.where(log.shown, np.asarray(rewards, np.float64)[log.order], 0.0), "rewards of shown rows")
    each, earned = np.ones(log.requests), log.sums(policy.weights * reward)
    estimates: dict[Estimator, Ratio] = {
        "logged": Ratio.of(log, log.sums(reward), log.sums(log.shown.astype(np.float64))),
        "ips": Ratio.of(log, earned, each),
        "snips": Ratio.of(log, earned, log.sums(policy.weights)),
    }
    if model is not None:
        predicted = _finite(np.asarray(model, np.float64)[log.order], "predicted rewards")
        corrected = log.sums(policy.chances * predicted + policy.weights * (reward - predicted))
        estimates["doubly_robust"] = Ratio.of(log, corrected, each)
    return estimates


@dataclass(frozen=True)
class Reward:
    """What a policy is judged by: `name` says what (n,) `values` count, read where a row was shown.

    models: by candidate, its (n,) predictions of the values, such as ctr for clicks and ctr * cvr for conversions.
    """

    name: str
    values: ArrayLike
    models: Mapping[str, ArrayLike] = field(default_factory=dict)


def compare_policies(
    log: ExposureLog,
    formula: Formula,
    scores: Mapping[str, Mapping[str, Floats]],
    reward: Reward,
    *,
    baseline: str,
    temperature: float = 0.0,
    clip: float = 100.0,
) -> list[PolicyValue]:
    """Every estimate of the policies that choose by `formula` over each candidate's scores, with its difference to the baseline's.

    Args:
        scores: by candidate and task, (n,) each; `baseline` is one of the candidates.
        temperature: 0: the highest value is chosen; else the softmax of value / temperature.

    Raises:
        InputError: the formula has no value in some row, or a shown row no reward.
    """
    policies = {name: Policy.on(log, choose(log, formula(by_task), temperature), clip) for name, by_task in scores.items()}
    found = {name: values_of(log, policy, reward.values, reward.models.get(name)) for name, policy in policies.items()}
    return [
        PolicyValue(
            candidate=name,
            formula=formula.text,
            reward=reward.name,
            estimator=estimator,
            **_numbers(ratio, found[baseline].get(estimator) if name != baseline else None),
            effective_rows=float(np.count_nonzero(log.shown)) if estimator == "logged" else policies[name].effective_rows,
            clipped=0.0 if estimator == "logged" else policies[name].clipped,
            clip=clip,
            temperature=temperature,
            requests=log.requests,
        )
        for name, ratios in found.items()
        for estimator, ratio in ratios.items()
    ]


def doubts(log: ExposureLog, formula: Formula, scores: Mapping[str, Mapping[str, Floats]], temperature: float = 0.0) -> list[str]:
    """What speaks against the estimates, in sentences: weights that don't average 1 a request, few effective rows."""
    found = []
    for name, by_task in scores.items():
        policy = Policy.on(log, choose(log, formula(by_task), temperature), math.inf)
        found += [f"Policy {formula.text} of {name}: {doubt}" for doubt in _doubts(policy)]
    return found


def _doubts(policy: Policy) -> list[str]:
    weight = policy.mean_weight
    if not policy.effective_rows:
        return ["none of its choices was shown, so the log says nothing about it."]
    found = []
    if abs(weight.value - 1) > 3 * weight.deviation:
        found.append(
            f"its weights average {weight.value:.3g} a request where right propensities give 1. Either they are not those of the policy "
            "that made the log, or candidates that were not shown are missing from it."
        )
    if policy.effective_rows < FEW:
        found.append(f"{policy.effective_rows:.0f} effective rows are too few for an interval.")
    return found


def _numbers(ratio: Ratio, of_baseline: Ratio | None) -> dict[str, float]:
    own = ratio.estimate()
    numbers = {"value": own.value, "low": own.low, "high": own.high}
    if of_baseline is None:
        return numbers
    against = (ratio - of_baseline).estimate()
    return numbers | {"difference": against.value, "difference_low": against.low, "difference_high": against.high}


def _finite(numbers: Floats, what: str) -> Floats:
    wrong = np.count_nonzero(~np.isfinite(numbers))
    if wrong:
        raise InputError(f"policies: {wrong} {what} are NaN or infinite; a row without the event earns 0")
    return numbers
