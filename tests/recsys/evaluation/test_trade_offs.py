from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.evaluation.binary import auc
from recsys.evaluation.duration import xauc
from recsys.evaluation.formula import parse
from recsys.evaluation.trade_offs import Objective, pareto_front, trade_offs, weighted_products

TASKS = ["ctr", "cvr", "dwell"]


@given(hnp.arrays(np.float64, st.tuples(st.integers(0, 12), st.integers(1, 4)), elements=st.sampled_from([0.0, 0.5, 1.0, math.nan])))
def test_a_point_is_on_the_front_when_no_other_dominates_it(values: np.ndarray) -> None:
    def dominates(a: np.ndarray, b: np.ndarray) -> bool:
        return all(x >= y for x, y in zip(a, b, strict=True)) and any(x > y for x, y in zip(a, b, strict=True))

    expected = [not np.isnan(point).any() and not any(dominates(other, point) for other in values) for point in values]
    assert pareto_front(values).tolist() == expected


def test_formulas_are_measured_by_ranks_in_each_sample_space() -> None:
    random = np.random.default_rng(0)
    scores = {task: random.random(500) for task in TASKS}
    click = random.random(500) < scores["ctr"]
    buys, seconds = click & (random.random(500) < scores["cvr"]), np.round(20 * random.random(500) * scores["dwell"])
    objectives = [
        Objective("ctr", "binary", click, np.ones(500, bool)),
        Objective("cvr", "binary", buys, click),
        Objective("dwell", "duration", seconds, np.ones(500, bool)),
    ]
    points = trade_offs([parse(text, TASKS) for text in ("ctr", "cvr", "ctr^0.5 * dwell^0.5")], {"a": scores}, objectives)
    ranking = np.sqrt(scores["ctr"] * scores["dwell"])
    assert points[2].values == {
        "ctr/auc": pytest.approx(auc(ranking, click)),
        "cvr/auc": pytest.approx(auc(ranking[click], buys[click])),
        "dwell/xauc": pytest.approx(xauc(ranking, seconds)),
    }
    assert points[0].values["ctr/auc"] == auc(scores["ctr"], click)
    assert all(point.on_front for point in points)


def test_the_front_is_taken_over_all_candidates() -> None:
    labels = np.array([0, 0, 1, 1])
    objectives = [Objective("ctr", "binary", labels, np.ones(4, bool))]
    scores = {"good": {"ctr": np.array([0.1, 0.2, 0.3, 0.4])}, "bad": {"ctr": np.array([0.4, 0.3, 0.2, 0.1])}}
    assert {point.candidate: point.on_front for point in trade_offs([parse("ctr", ["ctr"])], scores, objectives)} == {
        "good": True,
        "bad": False,
    }


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_weighted_products_go_from_each_task_alone_to_all(tasks: int) -> None:
    names = TASKS[:tasks]
    grid = weighted_products(names, 4)
    assert len(grid) == len(set(grid)) == math.comb(4 + tasks - 1, tasks - 1)
    assert set(names) <= set(grid)
    ones = {name: np.full(3, math.e) for name in names}
    for text in grid:
        np.testing.assert_allclose(parse(text, names)(ones), math.e)


def test_rankings_that_float32_cannot_tell_apart() -> None:
    scores = {"ctr": 0.5 + 1e-12 * np.arange(4)}
    objectives = [Objective("ctr", "binary", np.array([0, 1, 0, 1]), np.ones(4, bool))]
    (point,) = trade_offs([parse("ctr", ["ctr"])], {"a": scores}, objectives)
    assert point.values == {"ctr/auc": 0.75}
