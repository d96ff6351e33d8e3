from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from study_cases import TASKS, made_field

from recsys.study.analysis.differences import differences_to
from recsys.study.analysis.field import Field
from recsys.study.findings import DELTA_M


def by_name(field: Field, reference: str = "equal", of_delta_m: str | None = "single") -> dict[tuple[str, str], object]:
    return {(part.entry, part.task): part for part in differences_to(field, reference, of_delta_m)}


def test_without_kept_scores_they_are_the_paired_t_test() -> None:
    field = made_field(strategies=6, seeds=5, replicates=0)
    for (entry, task), part in by_name(field).items():
        values = field.delta_m("single") if task == DELTA_M else field.test[..., [t.name for t in TASKS].index(task)]
        oracle = stats.ttest_rel(values[field.place(entry)], values[field.place("equal")])
        assert part.p == pytest.approx(oracle.pvalue)
        interval = oracle.confidence_interval(0.95)
        assert (part.low, part.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
        assert part.mean == pytest.approx(np.mean(part.differences))
        assert math.isnan(part.rows_deviation)


def test_the_rows_widen_the_interval_and_are_told_apart_from_the_seeds() -> None:
    alone, both = (by_name(made_field(strategies=4, seeds=6, of_rows=0.003, replicates=replicates)) for replicates in (0, 500))
    for key, part in both.items():
        assert part.mean == pytest.approx(alone[key].mean)
        assert part.seeds_deviation == pytest.approx(alone[key].seeds_deviation)
        expected = math.sqrt(part.seeds_deviation**2 / 6 + part.rows_deviation**2)
        assert (part.high - part.low) / 2 >= 1.9 * expected
    key = ("s1", "ctr")
    assert both[key].rows_deviation == pytest.approx(0.003 * math.sqrt(2), rel=0.15)


def test_p_is_corrected_over_all_entries_and_tasks() -> None:
    found = by_name(made_field(strategies=7, seeds=4, replicates=100))
    family = [part for (_, task), part in found.items() if task != DELTA_M]
    ordered = sorted(family, key=lambda part: part.p)
    expected = np.minimum(1, np.maximum.accumulate([(len(ordered) - place) * part.p for place, part in enumerate(ordered)]))
    np.testing.assert_allclose([part.p_holm for part in ordered], expected)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_the_order_of_strategies_and_seeds_does_not_matter(seed: int, random) -> None:  # noqa: ANN001
    field = made_field(strategies=5, seeds=4, replicates=50, random_seed=seed)
    entries, seeds = random.sample(range(7), 7), random.sample(range(4), 4)
    turned = Field(
        names=[field.names[place] for place in entries],
        seeds=[field.seeds[place] for place in seeds],
        tasks=field.tasks,
        ranked=field.ranked[entries],
        test=field.test[np.ix_(entries, seeds)],
        valid=field.valid[np.ix_(entries, seeds)],
        replicates=field.replicates[np.ix_(entries, seeds)],
        clusters=field.clusters,
    )
    one, other = by_name(field), by_name(turned)
    assert one.keys() == other.keys()
    for key, part in one.items():
        assert other[key].mean == pytest.approx(part.mean, abs=1e-12)
        assert (other[key].low, other[key].p_holm) == (pytest.approx(part.low), pytest.approx(part.p_holm))
        assert other[key].verdict == part.verdict


def test_strategies_that_are_alike_are_not_told_apart_more_often_than_said() -> None:
    """Of studies in which all strategies are equally good, at most 5 % may tell any two apart."""
    studies = [by_name(made_field(strategies=6, seeds=4, replicates=100, random_seed=seed)) for seed in range(150)]
    false = sum(any(part.verdict != "inconclusive" for part in study.values()) for study in studies)
    assert stats.binomtest(false, len(studies), 0.10, alternative="greater").pvalue > 0.01, false  # two families, of tasks and of delta-m


def test_a_planted_difference_is_found_on_its_task_alone() -> None:
    field = made_field(strategies=8, seeds=8, replicates=200, planted={"s3": (0.0, 0.02, 0.0), "s5": (0.0, 0.0, 0.02)})
    found = {key: part.verdict for key, part in by_name(field).items() if key[1] != DELTA_M and part.verdict != "inconclusive"}
    assert found == {("s3", "cvr"): "better", ("s5", "dwell"): "worse"}  # of dwell lower is better


def test_identical_runs_do_not_differ_and_single_seeds_say_nothing() -> None:
    field = made_field(strategies=3, seeds=3, replicates=50)
    field.test[field.place("s1")] = field.test[field.place("equal")]
    field.replicates[field.place("s1")] = field.replicates[field.place("equal")]
    part = by_name(field)["s1", "ctr"]
    assert (part.mean, part.p, part.verdict, part.seeds_needed) == (0, 1, "inconclusive", None)
    one = by_name(made_field(strategies=3, seeds=1, replicates=50))["s1", "ctr"]
    assert math.isnan(one.p) and one.verdict == "inconclusive" and one.differences != []


def test_only_seeds_that_both_have_are_paired() -> None:
    field = made_field(strategies=3, seeds=4, replicates=50)
    field.test[field.place("s1"), 0] = np.nan
    field.test[field.place("equal"), 2] = np.nan
    found = by_name(field)
    assert found["s1", "ctr"].seeds == [1, 3] and found["s2", "ctr"].seeds == [0, 1, 3]
    field.test[field.place("s2"), :] = np.nan
    assert ("s2", "ctr") not in by_name(field)


@pytest.mark.slow
@pytest.mark.parametrize(("of_seeds", "of_rows"), [(0.001, 0.003), (0.003, 0.001), (0.002, 0.002)])
def test_combined_intervals_hold_the_true_difference_as_often_as_they_say(of_seeds: float, of_rows: float) -> None:
    """By a log's users and a training's seeds drawn anew."""
    held = trials = 0
    for seed in range(400):
        planted = {"s1": (0.004, 0.0, 0.0)}
        field = made_field(2, 5, 200, of_seeds=of_seeds, of_rows=of_rows, random_seed=seed, planted=planted)
        part = by_name(field)["s1", "ctr"]
        held += part.low <= 0.004 <= part.high
        trials += 1
    assert 0.93 <= held / trials <= 0.995, held / trials
