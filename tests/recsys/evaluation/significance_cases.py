"""A world of users in which candidates are compared, for coverage."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from recsys.evaluation.bootstrap import Statistic, bootstrap, resampled
from recsys.evaluation.delong import compare_aucs
from recsys.evaluation.groups import group_auc
from recsys.evaluation.intervals import Uncertain
from recsys.evaluation.weighted import Together, binary_statistic, group_statistic
from recsys.evaluation.weighted_duration import duration_statistic

CLICK_METRICS = ("auc", "auprc", "log_loss", "normalized_entropy", "calibration", "gauc")
SECONDS_METRICS = ("mae", "rmse_log1p", "spearman", "xauc")
METRICS = [("clicks", name) for name in CLICK_METRICS] + [("seconds", name) for name in SECONDS_METRICS]
Key = tuple[int, str]  # candidate, task


class Log(NamedTuple):
    """Rows of users: (n,) user codes, clicks, seconds, and each candidate's predictions of both."""

    users: np.ndarray
    clicks: np.ndarray
    seconds: np.ndarray
    probabilities: list[np.ndarray]
    predicted_seconds: list[np.ndarray]


def made_log(random: np.random.Generator, users: int, noises: tuple[float, float] = (0.5, 0.5), rows_a_user: int = 12) -> Log:
    """Users differ in their taste for clicking, and a candidate is off by user: rows of a user are far from independent.

    With equal `noises` the candidates are equally good, but on these rows by chance.
    """
    user = np.repeat(np.arange(users), 1 + random.poisson(rows_a_user - 1, users))
    taste, item = 0.8 * random.normal(size=users)[user], random.normal(size=user.size)
    logit = taste + item - 1.5
    clicks = random.random(user.size) < 1 / (1 + np.exp(-logit))
    seconds = np.exp(1 + 0.5 * logit + 0.5 * random.normal(size=user.size))
    noise = [deviation * random.normal(size=user.size) + random.normal(size=users)[user] for deviation in noises]
    logits = [0.6 * taste + 0.7 * item - 1.4 + one for one in noise]
    probabilities = [(1 / (1 + np.exp(-one))).astype(np.float32) for one in logits]
    return Log(user, clicks, seconds, probabilities, [np.exp(1 + 0.5 * one) for one in logits])


def statistics(log: Log) -> dict[Key, Statistic]:
    """Every kind of metric, of both candidates."""
    found: dict[Key, Statistic] = {}
    for candidate, (probabilities, seconds) in enumerate(zip(log.probabilities, log.predicted_seconds, strict=True)):
        groups = group_auc(probabilities, log.clicks, log.users)
        of_groups = group_statistic("gauc", groups, groups.codes)
        found[candidate, "clicks"] = Together([binary_statistic(probabilities, log.clicks, log.users), of_groups])
        found[candidate, "seconds"] = duration_statistic(seconds, log.seconds, 10, log.users)
    return found


def values(found: dict[Key, Statistic], users: int) -> dict[tuple[Key, str], float]:
    """The metrics on all rows."""
    ones = np.ones(users, np.uint8)
    return {(key, name): value for key, part in found.items() for name, value in zip(part.names, part(ones), strict=True)}


def truths(users: int, noises: tuple[float, float]) -> dict[tuple[Key, str], float]:
    """The metrics on a log so large that they are the world's."""
    return values(statistics(made_log(np.random.default_rng(10**6), users, noises)), users)


def trial(
    seed: int, users: int, noises: tuple[float, float], replicates: int
) -> tuple[dict[tuple[str, str], Uncertain], dict[tuple[str, str], Uncertain]]:
    """On one log: the first candidate's metrics, and the second's minus the first's; with the AUC by DeLong as ("delong", "auc")."""
    log = made_log(np.random.default_rng(seed), users, noises)
    found = statistics(log)
    value, table = values(found, users), bootstrap(found, users, replicates, seed, threads=1)
    by_delong = compare_aucs(log.probabilities, log.clicks, log.users)
    alone, difference = {("delong", "auc"): by_delong.estimate(0)}, {("delong", "auc"): by_delong.difference(1, 0)}
    for task, name in METRICS:
        first, second = ((0, task), name), ((1, task), name)
        alone[task, name] = resampled(value[first], table[first], users)
        difference[task, name] = resampled(value[second] - value[first], table[second] - table[first], users)
    return alone, difference


def may_be(hits: int, trials: int, low: float, high: float) -> bool:
    """Whether `hits` of `trials` fit a probability in [low, high]; when they do, this says so all but once in ten thousand times."""
    return bool(stats.binom.ppf(1e-4, trials, low) <= hits <= stats.binom.isf(1e-4, trials, high))
