"""What is compared, from the words of a command."""

from __future__ import annotations

import pytest

import emtl
from recsys.errors import InputError
from recsys.study.contestant import Contestant, contestants, parse_grid, parse_strategies

FIELD = contestants(parse_strategies("single,equal,emtl,emtl:regularizer=chi2:rho=0.5,nash,tuned"), ["mmoe", "ple"])


def test_all_is_every_strategy_and_both_references() -> None:
    names = [name for name, given in parse_strategies("all,emtl:scope=parameters")]
    assert set(names) == {*emtl.names(), "single", "tuned"} - {"fixed"} and names.count("emtl") == 2


def test_single_has_no_architecture_and_stands_beside_all() -> None:
    assert [one.title for one in FIELD][:3] == ["single, single", "equal, mmoe", "emtl, mmoe"]
    assert "emtl regularizer=chi2 rho=0.5, ple" in [one.title for one in FIELD] and len(FIELD) == 11


def test_a_grid_gives_each_the_options_that_it_knows() -> None:
    grid = parse_grid(["mto.rho=0.1,0.2,0.3", "train.dense.learning_rate=0.01,0.001", "model.tower_layers=[8],[8,4]"], FIELD)
    assert grid["model.tower_layers"] == [[8], [8, 4]]
    sizes = {one.title: len(one.settings(grid)) for one in FIELD if one.architecture != "ple"}
    fixed = "emtl regularizer=chi2 rho=0.5, mmoe"
    assert sizes == {"single, single": 4, "equal, mmoe": 4, "emtl, mmoe": 12, fixed: 4, "nash, mmoe": 4, "tuned, mmoe": 4}
    given = Contestant("emtl", "mmoe", {"mto.rho": 0.5})
    assert all(setting["mto.rho"] == 0.5 for setting in given.settings(grid))


def test_a_number_with_an_exponent_is_a_number() -> None:
    assert parse_strategies("famo:lr=1e-3") == [("famo", {"mto.lr": 0.001})]
    assert parse_strategies("equal,fixed:weights=[1,2.5,3],nash") == [("equal", {}), ("fixed", {"mto.weights": [1, 2.5, 3]}), ("nash", {})]
    assert parse_grid(["train.dense.learning_rate=1e-3,0.002"], FIELD) == {"train.dense.learning_rate": [0.001, 0.002]}


def test_an_option_of_every_strategy_is_known_by_all_but_single() -> None:
    grid = parse_grid(["mto.every=1,10"], FIELD)
    assert {len(one.settings(grid)) for one in FIELD} == {1, 2}
    assert [one.strategy for one in FIELD if len(one.settings(grid)) == 1] == ["single"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("emlt", "no strategy 'emlt'; did you mean 'emtl'"),
        ("", "name at least one"),
        ("emtl,emtl", "'emtl' is named twice"),
        ("emtl:rhoo=1", "emtl has no option 'rhoo'; did you mean 'rho'"),
        ("single:rho=1", "single has no option"),
        ("tuned:weights=1", "tuned has no option 'weights'"),
        ("emtl:rho", "KEY=VALUE"),
    ],
)
def test_strategies_that_are_none_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_strategies(text)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("mto.rho", "section.key=value,value"),
        ("rho=1", "section.key=value,value"),
        ("mto.rho=", "section.key=value,value"),
        ("mto.rho=1,1", "given twice"),
        ("mto.tau=1,2", "none of the strategies"),
    ],
)
def test_grids_that_are_none_are_refused(option: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_grid([option], FIELD)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(InputError, match="there is no 'mmeo'; did you mean 'mmoe'"):
        contestants([("emtl", {})], ["mmeo"])
