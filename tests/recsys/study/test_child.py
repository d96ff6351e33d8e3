"""Children: names and overrides."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from job_cases import DEMO

import emtl
from recsys.config import Config
from recsys.config_file import load_config
from recsys.study.child import FINAL, SEARCH, Child

DEMO_CONFIG = load_config(DEMO)
settings = st.dictionaries(
    st.sampled_from(["mto.rho", "mto.beta", "train.dense.learning_rate", "mto.weights"]),
    st.one_of(st.floats(0.01, 1), st.integers(1, 5), st.lists(st.floats(0.1, 9), min_size=3, max_size=3)),
    max_size=3,
)
children = st.builds(
    Child,
    strategy=st.sampled_from(["emtl", "equal", "single", "tuned"]),
    architecture=st.sampled_from(["mmoe", "ple"]),
    seed=st.integers(0, 5),
    setting=settings,
    stage=st.sampled_from([FINAL, SEARCH, "round-0"]),
)


@given(st.lists(children, max_size=20))
def test_names_are_fit_for_files_and_differ_where_children_do(group: list[Child]) -> None:
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", child.name) for child in group)
    assert len({child.name for child in group}) == len({str(sorted_fields(child)) for child in group})


@given(children)
def test_a_name_does_not_depend_on_the_order_of_keys_and_survives_json(child: Child) -> None:
    turned = Child(**{**child.to_json(), "setting": dict(reversed(child.setting.items()))})
    assert turned.name == child.name
    assert Child(**yaml.safe_load(yaml.safe_dump(child.to_json()))).name == child.name


def sorted_fields(child: Child) -> dict[str, Any]:
    return {**child.to_json(), "setting": sorted(child.setting.items())}


def test_names_stay_what_they_are() -> None:
    """A study that is resumed by a later version finds its children."""
    assert Child("emtl", "mmoe", 0).name == "emtl-mmoe-0"
    assert Child("tuned", "ple", 3, {"mto.weights": [1.0, 2.5]}, SEARCH).name == "tuned.e8229720-ple-3-search"


def loaded(child: Child) -> Config:
    return load_config(DEMO, child.overrides(DEMO_CONFIG))


@pytest.mark.parametrize("strategy", [*emtl.names(), "single", "tuned"])
def test_overrides_of_every_strategy_are_read_back(strategy: str) -> None:
    config = loaded(Child(strategy, "single" if strategy == "single" else "mmoe", 4))
    assert config.run.seed == 4 and config.run.name.startswith(strategy) and config.evaluate.keep_scores
    assert config.mto.strategy == {"single": "equal", "tuned": "fixed"}.get(strategy, strategy)
    assert config.mto.options == (DEMO_CONFIG.mto.options if strategy == "emtl" else {})


def test_a_setting_goes_to_the_strategy_and_to_any_section() -> None:
    config = loaded(Child("emtl", "mmoe", 0, {"mto.alpha": 0.7, "mto.scope": "parameters", "train.dense.learning_rate": 0.5}, SEARCH))
    assert config.mto.options == {**DEMO_CONFIG.mto.options, "alpha": 0.7} and config.mto.scope == "parameters"
    assert config.train.dense.learning_rate == 0.5 and config.data.test == [] and not config.evaluate.keep_scores


@pytest.mark.parametrize(
    ("architecture", "layers"),
    [("mmoe", "expert_layers"), ("ple", "expert_layers"), ("shared_bottom", "bottom_layers"), ("single", "bottom_layers")],
)
def test_another_architecture_has_the_same_layers(architecture: str, layers: str) -> None:
    model = loaded(Child("equal", architecture, 0)).model
    assert (model.architecture, getattr(model, layers), model.tower_layers) == (architecture, [64, 32], [32])
