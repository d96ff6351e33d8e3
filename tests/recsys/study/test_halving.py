"""Successive halving, over trainings whose values are known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from study_cases import TASKS

from recsys.data.sample import write_sample
from recsys.data.stores import PATIENCE
from recsys.errors import InputError
from recsys.study.child import Child
from recsys.study.contestant import Contestant
from recsys.study.halving import halve, kept, shares
from recsys.study.outcome import Outcome
from recsys.study.record import Line, StudyRecord
from recsys.study.search import ALL_FAILED, Arm, Search

SKILL = {"emtl": 0.7, "nash": 0.9, "famo": 0.6, "pcgrad": math.nan, "dwa": 0.8, "mgda": 0.1}


class Trainings:
    """Stands where the runner does: a strategy's value is its skill, drawn towards the others' on small samples."""

    def __init__(self) -> None:
        self.asked: list[Child] = []

    def __call__(self, children: list[Child]) -> list[Outcome]:
        self.asked += children
        return [done for child in children if not math.isnan((done := finished(child)).metrics["valid/ctr/auc"])]


def finished(child: Child) -> Outcome:
    value = SKILL.get(child.strategy, 0.5) + child.setting.get("mto.beta", 0.0) + 0.001 * child.seed
    made = dict.fromkeys(Outcome.__dataclass_fields__)
    return Outcome(**{**made, "child": child, "metrics": {"valid/ctr/auc": math.exp(value), "valid/dwell/rmse_log1p": math.exp(-value)}})


def searched(names: list[str], search_seeds: list[int] | None = None, betas: tuple[float, ...] = ()) -> tuple[list[Arm], Search, Trainings]:
    record = StudyRecord(
        name="s",
        command="",
        created="",
        seeds=[0],
        search_seeds=search_seeds or [1000],
        grid={},
        versions={},
        lines=[Line(strategy=name, architecture="mmoe", given={}) for name in names],
    )
    trainings = Trainings()
    settings: list[dict[str, float]] = [{"mto.beta": beta} for beta in betas] or [{}]
    arms = [Arm(Contestant(line.strategy, "mmoe"), line, setting) for line in record.lines for setting in settings]
    return arms, Search(trainings, record, [TASKS[0], TASKS[2]], lambda: None), trainings


@given(st.floats(0.01, 0.99), st.floats(1.1, 10))
def test_samples_grow_by_the_factor_and_stay_samples(fraction: float, factor: float) -> None:
    found = shares(fraction, factor)
    assert found[0] == fraction and all(share < 1 for share in found) and found[-1] * factor >= 1 - 1e-6
    np.testing.assert_allclose(np.divide(found[1:], found[:-1]), factor)


@given(st.lists(st.one_of(st.floats(-1, 1), st.just(math.nan)), max_size=12), st.floats(1.1, 5))
def test_the_best_are_kept_and_nothing_that_failed(values: list[float], factor: float) -> None:
    places = kept(values, factor)
    left = [value for place, value in enumerate(values) if place not in places and not math.isnan(value)]
    assert len(places) <= math.ceil(len(values) / factor) and not any(math.isnan(values[place]) for place in places)
    assert all(values[place] >= value for place in places for value in left)


def test_strategies_are_dropped_round_by_round_and_references_never() -> None:
    arms, search, trainings = searched(["equal", *SKILL])
    left = halve(search, arms, lambda share: Path(f"sample-{share:g}"), 0.25, 2)
    assert [arm.line.strategy for arm in left] == ["equal", "nash", "dwa"]
    rounds = {name: [child.strategy for child in trainings.asked if child.stage == name] for name in ("round-0", "round-1")}
    assert rounds == {"round-0": list(SKILL), "round-1": ["emtl", "nash", "dwa"]}
    assert {child.sample for child in trainings.asked} == {"sample-0.25", "sample-0.5"}
    assert {arm.line.strategy: arm.line.dropped for arm in arms if arm not in left} == {
        "emtl": "round-1",
        "famo": "round-0",
        "pcgrad": "round-0",
        "mgda": "round-0",
    }
    lines = {arm.line.strategy: arm.line for arm in arms}
    assert (lines["nash"].search_trainings, lines["nash"].search_effort) == (2, 0.75)
    assert (lines["famo"].search_trainings, lines["famo"].search_effort, lines["equal"].search_trainings) == (1, 0.25, 0)


def test_a_strategy_goes_on_with_its_best_setting() -> None:
    arms, search, _ = searched(["emtl", "nash"], betas=(0.0, 0.3))
    left = halve(search, arms, lambda share: Path("sample"), 0.5, 2)
    assert [(arm.line.strategy, arm.setting) for arm in left] == [("emtl", {"mto.beta": 0.3}), ("nash", {"mto.beta": 0.3})]
    search.by_grid(left)
    assert [arm.line.chosen for arm in left] == [{"mto.beta": 0.3}] * 2


def test_a_grid_chooses_by_the_mean_over_search_seeds_and_counts_what_that_cost() -> None:
    arms, search, trainings = searched(["emtl", "pcgrad"], [1000, 1001], betas=(0.1, 0.3, 0.2))
    search.by_grid(arms)
    emtl, pcgrad = arms[0].line, arms[3].line
    assert emtl.chosen == {"mto.beta": 0.3} and emtl.tried == 3 and emtl.search_trainings == 6 and emtl.search_effort == 6
    assert [trial.value for trial in emtl.trials] == pytest.approx([180.05, 200.05, 190.05])
    assert pcgrad.chosen is None and pcgrad.dropped == ALL_FAILED
    assert len(trainings.asked) == 12 and all(child.stage == "search" for child in trainings.asked)


def test_what_is_alone_is_chosen_untried() -> None:
    arms, search, trainings = searched(["emtl"])
    search.by_grid(arms)
    assert arms[0].line.chosen == {} and not trainings.asked and arms[0].line.tried == 1


def test_a_sample_is_drawn_from_the_rows_the_smaller_within_the_larger(tmp_path: Path) -> None:
    for number in range(2):
        rows = pa.table({"row": np.arange(number * 10_000, (number + 1) * 10_000), "list": [[1, 2]] * 10_000})
        pq.write_table(rows, tmp_path / f"{number}.parquet", row_group_size=3_000)
    drawn = {}
    for share in (0.1, 0.3):
        count = write_sample([str(tmp_path / "[01].parquet")], PATIENCE, share, 0, tmp_path / "samples" / "one.parquet")
        table = pq.read_table(tmp_path / "samples" / "one.parquet")
        drawn[share] = table["row"].to_pylist()
        assert count == table.num_rows and abs(count - 20_000 * share) < 5 * math.sqrt(20_000 * share * (1 - share))
        assert table["list"].to_pylist() == [[1, 2]] * count and drawn[share] == sorted(drawn[share])
    assert set(drawn[0.1]) < set(drawn[0.3])
    with pytest.raises(InputError, match="has none; take a larger one"):
        write_sample([str(tmp_path / "0.parquet")], PATIENCE, 1e-9, 0, tmp_path / "none.parquet")
