from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from study_cases import TASKS, described, made_field

from recsys.study.analysis.field import Field
from recsys.study.analysis.group import Described, group_of
from recsys.study.findings import DELTA_M, FIGURES


def field_of(test: np.ndarray, names: list[str], valid: np.ndarray | None = None) -> Field:
    """(E, S, 3) metrics without kept scores."""
    ranked = np.array([name != "single" for name in names])
    empty = np.empty((*test.shape, 0))
    return Field(names, list(range(test.shape[1])), TASKS, ranked, test, test if valid is None else valid, empty, 0)


@given(arrays(np.float64, st.tuples(st.integers(2, 8), st.just(1), st.just(3)), elements=st.integers(1, 4).map(float)))
def test_the_pareto_front_is_what_no_other_beats(test: np.ndarray) -> None:
    names = ["equal", *(f"s{place}" for place in range(1, len(test)))]
    field = field_of(test, names)
    means = [[row[0], row[1], -row[2]] for row in test[:, 0].tolist()]

    def beats(one: list[float], other: list[float]) -> bool:
        return all(a >= b for a, b in zip(one, other, strict=True)) and one != other

    front = {name for name, own in zip(names, means, strict=True) if not any(beats(other, own) for other in means)}
    assert {entry.name for entry in group_of("mmoe", field, described(field)).entries if entry.on_front} == front


def test_figures_of_an_entry_by_hand() -> None:
    test = np.array(
        [
            [[0.70, 0.60, 1.2], [0.71, 0.61, 1.2]],  # single
            [[0.72, 0.60, 1.2], [0.72, 0.62, 1.1]],  # equal
            [[0.73, 0.60, 1.3], [0.71, 0.63, 1.0]],  # s1
        ]
    )
    names = ["single", "equal", "s1"]
    field = field_of(test, names)
    figures = {name: {0: 1.0, 1: 2.0} for name in FIGURES}
    slow = figures | {"seconds_per_step": {0: 2.0, 1: 1.0}}
    parts = [Described(name, {"mto.rho": 1} if name == "s1" else {}, 4, 3, slow if name == "s1" else figures, [name]) for name in names]
    group = group_of("mmoe", field, parts)
    entry = group.entry("s1")
    assert entry.test["ctr"].mean == pytest.approx(0.72)
    assert entry.test["ctr"].deviation == pytest.approx(0.02 / math.sqrt(2))
    assert entry.test["ctr"].values == [0.73, 0.71]
    first = 100 / 3 * (0.03 / 0.70 + 0.0 - 0.1 / 1.2)
    second = 100 / 3 * (0.0 / 0.71 + 0.02 / 0.61 + 0.2 / 1.2)
    assert entry.delta_m.value == pytest.approx((first + second) / 2)
    assert (entry.seeds_won, entry.blocks) == (3.5, 6)  # ctr, cvr and dwell of seed 1; a tie; two lost
    assert entry.step_cost == pytest.approx(1.0)  # twice and half
    assert entry.conflict == 1.5 and entry.setting == {"mto.rho": 1} and entry.tried == 4 and entry.run_ids == ["s1"]
    assert (entry.mean_rank, group.entry("equal").mean_rank) == (pytest.approx(8.5 / 6), pytest.approx(9.5 / 6))
    assert math.isnan(group.entry("single").mean_rank) and group.ranking.entries == ["equal", "s1"]


def test_the_rival_is_chosen_on_valid_and_never_on_test() -> None:
    field = made_field(strategies=4, seeds=4, replicates=50)
    valid = np.tile(field.valid.mean((0, 1)), (6, 4, 1))
    valid[field.place("s2"), :, 0] += 0.1
    valid[field.place("s4"), :, 0] += 0.05
    test = field.test.copy()
    test[field.place("s1"), :, 0] += 0.2  # the best on test
    moved = Field(field.names, field.seeds, TASKS, field.ranked, test, valid, field.replicates, field.clusters)
    group = group_of("mmoe", moved, described(moved))
    assert (group.rival, group.runner_up, group.reference) == ("s2", "s4", "single")
    assert group.difference("s1", "s2", DELTA_M) and group.difference("s2", "s4", "ctr")
    assert group.difference("s2", "s2", "ctr") is None and group.difference("s1", "s4", "ctr") is None


def test_without_single_task_models_equal_is_the_reference_and_without_both_there_is_none() -> None:
    field = made_field(strategies=3, seeds=3, replicates=50)

    def without(*names: str) -> Field:
        keep = [place for place, name in enumerate(field.names) if name not in names]
        tables = (table[keep] for table in (field.test, field.valid, field.replicates))
        return Field([field.names[place] for place in keep], field.seeds, TASKS, field.ranked[keep], *tables, field.clusters)

    part = without("single")
    group = group_of("mmoe", part, described(part))
    assert group.reference == "equal" and group.entry("equal").delta_m.value == 0 and group.entry("s1").delta_m.low < 0.3
    part = without("single", "equal")
    group = group_of("mmoe", part, described(part))
    assert group.reference is None and group.rival is None and group.differences == []
    assert math.isnan(group.entry("s1").step_cost) and group.entry("s1").blocks == 0 and len(group.conclusion) == 1


def test_an_unfinished_study_is_ranked_on_its_whole_part() -> None:
    field = made_field(strategies=4, seeds=3, replicates=50)
    field.test[field.place("s4"), 1:] = np.nan
    field.test[field.place("s2"), :] = np.nan
    group = group_of("mmoe", field, described(field))
    assert group.ranking.left_out == ["s4"] and group.ranking.blocks == 9
    assert math.isnan(group.entry("s4").mean_rank) and group.entry("s4").seeds == [0]
    assert group.entry("s2").seeds == [] and math.isnan(group.entry("s2").delta_m.value)


def test_equal_strategies_are_not_told_apart_and_nobody_is_called_best() -> None:
    field = made_field(strategies=8, seeds=5, replicates=200, random_seed=3)
    said = " ".join(group_of("mmoe", field, described(field)).conclusion)
    assert "No strategy is better than equal on any task beyond doubt." in said
    assert "s1, s2, s3, s4, s5, s6, s7 and s8 (8 of 8)" in said
    assert "can be told apart from it by delta-m on test" in said
    assert " best " not in said and "winner" not in said


def test_what_was_planted_is_said_with_its_evidence() -> None:
    planted = {"s3": (0.0, 0.02, 0.0), "s5": (0.0, 0.0, 0.02), "s6": (0.02, -0.02, 0.0)}
    field = made_field(strategies=8, seeds=8, replicates=200, planted=planted)
    group = group_of("mmoe", field, described(field))
    said = {sentence.partition(":")[0]: sentence for sentence in group.conclusion}
    found = group.difference("s3", "equal", "cvr")
    better = said["Better than equal beyond doubt on a task, worse on none"]
    assert f"s3 (cvr {found.mean:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f}, p < .001)" in better
    assert "s5 (dwell +0.0" in said["Worse than equal beyond doubt on a task, better on none"]
    assert "s6 (ctr +0.0" in said["Better than equal on one task and worse on another"]
    assert "s1, s2, s4, s7 and s8" in said["Can't be told apart from equal on any task"]
    assert (group.entry("s6").better, group.entry("s6").worse) == (["ctr"], ["cvr"])


def test_too_few_seeds_are_said_first() -> None:
    one, two = (made_field(strategies=3, seeds=seeds, replicates=50) for seeds in (1, 2))
    assert (
        group_of("mmoe", one, described(one))
        .conclusion[0]
        .startswith("4 strategies, 1 seed each: a single seed says nothing about another training, so nothing is concluded")
    )
    assert "Fewer than 3 seeds hardly show their spread" in group_of("mmoe", two, described(two)).conclusion[0]
