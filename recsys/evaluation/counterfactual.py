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
to it, which adds bias downwards to IPS. Intervals are by user: the deviation of a ratio of sums over users (linearised), Student's t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.errors import InputError
from recsys.evaluation.comparison import Estimator, PolicyValue
from recsys.evaluation.intervals import Uncertain, uncertain

Floats = NDArray[np.float64]
FEW = 100  # effective rows below which an interval that rests on normality isn't to be trusted


@dataclass(frozen=True)
class ExposureLog:
    """Candidates of requests and which of them were shown, in order of requests.

    order: (n,) places that bring rows as they were given into this order. starts: (R,) first row of each request. shown: (n,) bool.
    propensity: (n,), 1 where not shown. clusters: (R,) codes of the requests' users.
    """

    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    shown: NDArray[np.bool_]
    propensity: Floats
    clusters: NDArray[np.int64]

    @classmethod
    def of(cls, requests: ArrayLike, shown: ArrayLike, propensities: ArrayLike, users: ArrayLike | None = None) -> ExposureLog:
        """Read (n,) columns. `users`: by whom requests are taken together for intervals; each request by itself where None.

        Raises:
            InputError: a shown row's propensity isn't in (0, 1], a request has several users, or nothing was shown.
        """
        codes = np.unique(np.asarray(requests), return_inverse=True)[1]
        order = np.argsort(codes, kind="stable")
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        exposed = np.asarray(shown, bool)
        if not exposed.any():
            raise InputError("policies: no row of the log was shown, so no reward was seen; check the column that says what was shown")
        given = np.asarray(propensities, np.float64)
        wrong = np.flatnonzero(exposed & ~((given > 0) & (given <= 1)))
        if wrong.size:
            raise InputError(
                f"policies: the propensity of {wrong.size} of {np.count_nonzero(exposed)} shown rows is not in (0, 1], "
                f"first {given[wrong[0]]} in row {wrong[0]}; it is the probability with which the row was shown"
            )
        return cls(order, starts, exposed[order], np.where(exposed, given, 1.0)[order], _clusters(starts, order, users))

    @property
    def requests(self) -> int:
        """Number of requests."""
        return self.starts.size

    def sums(self, values: Floats) -> Floats:
        """(R,) sums over each request's rows."""
        return np.add.reduceat(values, self.starts)

    def spread(self, values: Floats) -> Floats:
        """(n,) each request's value, on its rows."""
        return np.repeat(values, np.diff(self.starts, append=self.order.size))


def choose_first(log: ExposureLog, values: Floats) -> Floats:
    """(n,) probabilities, in the log's order, of a policy that chooses each request's highest of (n,) `values`; ties share."""
    ordered = values[log.order]
    best = (ordered == log.spread(np.maximum.reduceat(ordered, log.starts))).astype(np.float64)
    return best / log.spread(log.sums(best))


def choose_softly(log: ExposureLog, values: Floats, temperature: float) -> Floats:
    """(n,) probabilities, in the log's order, proportional to exp(value / temperature) within each request.

    Raises:
        InputError: an infinite value.
    """
    ordered = values[log.order] / temperature
    if not np.isfinite(ordered).all():
        raise InputError(f"policies: {np.count_nonzero(~np.isfinite(ordered))} values of the formula are infinite, which no softmax takes")
    chances = np.exp(ordered - log.spread(np.maximum.reduceat(ordered, log.starts)))
    return chances / log.spread(log.sums(chances))


def choose(log: ExposureLog, values: Floats, temperature: float) -> Floats:
    """`choose_first` at temperature 0, else `choose_softly`."""
    return choose_softly(log, values, temperature) if temperature else choose_first(log, values)


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
        mean_weight = ratio(log, log.sums(weights), np.ones(log.requests))
        weights = np.minimum(weights, clip)
        squares = float(np.square(weights).sum())
        return cls(chances, weights, float(weights.sum()) ** 2 / squares if squares else 0.0, clipped, mean_weight)


def ratio(log: ExposureLog, numerators: Floats, denominators: Floats) -> Uncertain:
    """Sum of (R,) numerators over the sum of (R,) denominators, with the interval that users, drawn independently, give it."""
    above, below = (np.bincount(log.clusters, part) for part in (numerators, denominators))
    total, users = float(below.sum()), below.size
    if not total:
        return uncertain(float("nan"), float("nan"), users - 1)
    value = float(above.sum()) / total
    spread = float(np.square(above - value * below).sum()) * users / max(users - 1, 1)
    return uncertain(value, spread**0.5 / total, users - 1)


def values_of(log: ExposureLog, policy: Policy, rewards: ArrayLike, model: ArrayLike | None = None) -> dict[Estimator, Uncertain]:
    """Estimates by name: `logged` (mean reward of what was shown), `ips`, `snips`, and `doubly_robust` where there is a model.

    Args:
        rewards: (n,) as given, read where shown.
        model: (n,) predicted rewards of all rows, by a model that was not fitted on these rows.

    Raises:
        InputError: NaN or infinite rewards of shown rows, or predictions.
    """
    reward = _finite(np.where(log.shown, np.asarray(rewards, np.float64)[log.order], 0.0), "rewards of shown rows")
    each, earned = np.ones(log.requests), log.sums(policy.weights * reward)
    estimates: dict[Estimator, Uncertain] = {
        "logged": ratio(log, log.sums(reward), log.sums(log.shown.astype(np.float64))),
        "ips": ratio(log, earned, each),
        "snips": ratio(log, earned, log.sums(policy.weights)),
    }
    if model is not None:
        predicted = _finite(np.asarray(model, np.float64)[log.order], "predicted rewards")
        corrected = log.sums(policy.chances * predicted + policy.weights * (reward - predicted))
        estimates["doubly_robust"] = ratio(log, corrected, each)
    return estimates


def policy_values(
    candidate: str,
    formula: str,
    reward: str,
    log: ExposureLog,
    values: Floats,
    rewards: ArrayLike,
    model: ArrayLike | None = None,
    *,
    temperature: float = 0.0,
    clip: float = 100.0,
) -> list[PolicyValue]:
    """Every estimate of the policy that chooses by (n,) `values` of `formula`: the highest (temperature 0) or by softmax.

    `reward` names what (n,) `rewards` count; `model` as for `values_of`.
    """
    policy = Policy.on(log, choose(log, values, temperature), clip)
    return [
        PolicyValue(
            candidate=candidate,
            formula=formula,
            reward=reward,
            estimator=name,
            value=estimate.value,
            low=estimate.low,
            high=estimate.high,
            effective_rows=float(np.count_nonzero(log.shown)) if name == "logged" else policy.effective_rows,
            clipped=0.0 if name == "logged" else policy.clipped,
            clip=clip,
            temperature=temperature,
            requests=log.requests,
        )
        for name, estimate in values_of(log, policy, rewards, model).items()
    ]


def doubts(formula: str, log: ExposureLog, values: Floats, temperature: float = 0.0) -> list[str]:
    """What speaks against the estimates of a policy, in sentences: weights that don't average 1, few effective rows."""
    policy = Policy.on(log, choose(log, values, temperature), np.inf)
    weight, found = policy.mean_weight, []
    if not policy.effective_rows:
        return [f"Policy {formula}: none of its choices was shown, so the log says nothing about it."]
    if abs(weight.value - 1) > 3 * weight.deviation:
        found.append(
            f"Policy {formula}: its weights average {weight.value:.3g} a request where right propensities give 1. "
            "Either they are not those of the policy that made the log, or candidates that were not shown are missing from it."
        )
    if policy.effective_rows < FEW:
        found.append(f"Policy {formula}: {policy.effective_rows:.0f} effective rows are too few for an interval.")
    return found


def _clusters(starts: NDArray[np.int64], order: NDArray[np.int64], users: ArrayLike | None) -> NDArray[np.int64]:
    if users is None:
        return np.arange(starts.size)
    codes = np.unique(np.asarray(users), return_inverse=True)[1][order]
    lowest, highest = np.minimum.reduceat(codes, starts), np.maximum.reduceat(codes, starts)
    mixed = np.count_nonzero(lowest != highest)
    if mixed:
        raise InputError(f"policies: {mixed} of {starts.size} requests have rows of several users; a request belongs to one")
    return np.unique(lowest, return_inverse=True)[1]


def _finite(numbers: Floats, what: str) -> Floats:
    wrong = np.count_nonzero(~np.isfinite(numbers))
    if wrong:
        raise InputError(f"policies: {wrong} {what} are NaN or infinite; a row without the event earns 0")
    return numbers
