from __future__ import annotations

import math
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import numpy as np
import pytest
from scipy import stats
from significance_cases import made_log, may_be, statistics, trial, truths

from recsys.evaluation.binary import auc
from recsys.evaluation.bootstrap import bootstrap, poisson_weights, resampled
from recsys.evaluation.delong import compare_aucs
from recsys.evaluation.order import order_keys
from recsys.evaluation.weighted import Ranking, Totals, ratio


def test_weights_are_poissons() -> None:
    weights = poisson_weights(1_000_000, 0, 0)
    expected = stats.poisson(1).pmf(np.arange(9))
    found = np.bincount(weights, minlength=9) / weights.size
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / weights.size) + 4e-5).all()


def test_the_table_of_weights_has_mean_and_variance_one() -> None:
    from recsys.evaluation.bootstrap import _WEIGHT_OF

    assert (_WEIGHT_OF.size, int(_WEIGHT_OF.sum()), int(np.square(_WEIGHT_OF.astype(int)).sum())) == (65_536, 65_536, 2 * 65_536)
    assert np.abs(np.bincount(_WEIGHT_OF) / 65_536 - stats.poisson(1).pmf(np.arange(9))).max() < 4e-5


def test_replicates_depend_on_the_seed_and_their_number_alone() -> None:
    found = statistics(made_log(np.random.default_rng(0), 60))
    whole = bootstrap(found, 60, replicates=12, seed=3, threads=4)
    for key, part in found.items():
        for name, values in bootstrap({key: part}, 60, replicates=12, seed=3, threads=1).items():
            np.testing.assert_array_equal(values, whole[name])
    loss = (0, "clicks"), "log_loss"
    assert (bootstrap(found, 60, replicates=12, seed=4)[loss] != whole[loss]).all()
    assert len(np.unique(whole[loss])) == 12


def test_progress_is_told_after_each_replicate() -> None:
    told: list[None] = []
    bootstrap(statistics(made_log(np.random.default_rng(0), 20)), 20, replicates=7, advance=lambda: told.append(None))
    assert len(told) == 7


def test_the_deviation_of_a_mean_is_that_of_its_clusters() -> None:
    random = np.random.default_rng(0)
    clusters, values = np.repeat(np.arange(2_000), 5), np.repeat(random.normal(size=2_000), 5) + random.normal(size=10_000)
    mean = Totals(("mean",), clusters, (np.ones(10_000), values), lambda rows, total: (ratio(total, rows),))
    replicates = bootstrap({"": mean}, 2_000, replicates=2_000)["", "mean"]
    of_clusters = values.reshape(2_000, 5).mean(1)
    assert replicates.std() == pytest.approx(of_clusters.std() / math.sqrt(2_000), rel=0.05)
    assert replicates.mean() == pytest.approx(values.mean(), abs=4 * of_clusters.std() / 2_000)


def test_the_deviation_of_an_auc_difference_is_obuchowskis() -> None:
    log = made_log(np.random.default_rng(1), 1_000)
    keys = [order_keys(scores) for scores in log.probabilities]
    replicates = bootstrap(dict(enumerate(Ranking(column, log.clicks, log.users) for column in keys)), 1_000, replicates=1_000)
    expected = compare_aucs(log.probabilities, log.clicks, log.users)
    found = resampled(expected.difference(1, 0).value, replicates[1, "auc"] - replicates[0, "auc"], 1_000)
    assert found.deviation == pytest.approx(expected.difference(1, 0).deviation, rel=0.08)
    assert found.p == pytest.approx(expected.difference(1, 0).p, abs=0.05)
    alone = resampled(auc(log.probabilities[0], log.clicks), replicates[0, "auc"], 1_000, null=0.5)
    assert alone.deviation == pytest.approx(expected.estimate(0).deviation, rel=0.08)
    assert alone.low == pytest.approx(expected.estimate(0).low, abs=0.002)


def test_replicates_without_the_metric_are_left_out_until_they_are_too_many() -> None:
    some = np.array([*np.linspace(-1, 1, 95), *[math.nan] * 5])
    assert resampled(0.1, some, 50).deviation == pytest.approx(np.nanstd(some, ddof=1))
    assert math.isnan(resampled(0.1, np.where(np.arange(100) < 20, math.nan, some), 50).low)
    assert resampled(0.0, np.zeros(100), 50).p == 1


def test_candidates_that_are_equally_good_are_told_apart_once_in_twenty() -> None:
    trials = [trial(seed, 60, (0.5, 0.5), replicates=50)[1] for seed in range(200)]
    for metric in trials[0]:
        significant = sum(differences[metric].p < 0.05 for differences in trials)
        assert may_be(significant, len(trials), 0.03, 0.07), (metric, significant)


def test_rows_of_a_user_taken_as_independent_would_be_found_out() -> None:
    """The case is one in which it matters to resample users."""
    significant = 0
    for seed in range(200):
        log = made_log(np.random.default_rng(seed), 60)
        significant += compare_aucs(log.probabilities, log.clicks).difference(1, 0).p < 0.05
    assert not may_be(significant, 200, 0.03, 0.07)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("users", [60, 400])
def test_intervals_hold_the_truth_19_times_in_20(users: int) -> None:
    noises = (0.5, 0.8)
    truth, count = truths(400_000, noises), 1_500
    with ProcessPoolExecutor(2) as pool:
        trials = list(pool.map(trial, range(count), repeat(users), repeat(noises), repeat(200), chunksize=25))
    for metric in trials[0][0]:
        task, name = ("clicks", "auc") if metric[0] == "delong" else metric
        first, second = truth[(0, task), name], truth[(1, task), name]
        held = sum(alone[metric].low <= first <= alone[metric].high for alone, _ in trials)
        held_difference = sum(found[metric].low <= second - first <= found[metric].high for _, found in trials)
        print(f"{users} users, {metric}: value {held / count:.3f}, difference {held_difference / count:.3f}")
        assert may_be(held, count, 0.93, 0.97) and may_be(held_difference, count, 0.93, 0.97), (metric, held, held_difference)
