"""Configuration files: overrides, refusals in one line, and the round trip."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recsys.config import Config
from recsys.config_file import dump_config, json_schema, load_config
from recsys.config_reference import reference
from recsys.errors import InputError

ROOT = Path(__file__).parents[2]
MINIMAL: dict[str, Any] = {
    "run": {"name": "small"},
    "data": {"train": "a", "valid": ["b"]},
    "features": [{"name": "user", "kind": "id", "buckets": 10}, {"name": "age", "kind": "number"}],
    "tasks": [{"name": "ctr", "kind": "binary", "label": "click"}],
    "model": {"architecture": "mmoe"},
}


def write(folder: Path, **changes: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, **changes}))
    return path


def test_defaults_are_filled_in_and_the_resolved_file_reads_back_equal(tmp_path: Path) -> None:
    config = load_config(write(tmp_path))
    assert config.run.output == "runs/small" and config.data.train == ["a"] and config.mto.strategy == "emtl"
    copy = tmp_path / "resolved.yaml"
    copy.write_text(dump_config(config))
    assert load_config(copy) == config


def test_the_file_names_the_tracking_server_or_else_the_environment_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's own environment goes before that of the process which launches it."""
    path = write(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert load_config(path).tracking.uri == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://here:5000")
    assert load_config(path).tracking.uri == "http://here:5000"
    assert load_config(path, tracking_uri="http://there:5000").tracking.uri == "http://there:5000"
    assert load_config(path, ["tracking.uri=http://set:5000"], "http://there:5000").tracking.uri == "http://set:5000"


def test_overrides_reach_sections_and_named_items(tmp_path: Path) -> None:
    settings = ["train.epochs=3", "features.user.dimension=8", "tasks.ctr.weight=2", "mto.rho=0.5", "train.dense.learning_rate=1e-2"]
    config = load_config(write(tmp_path), settings)
    assert config.train.epochs == 3 and config.features[0].dimension == 8 and config.tasks[0].weight == 2  # type: ignore[union-attr]
    assert config.mto.options == {"rho": 0.5} and config.train.dense.learning_rate == 0.01


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.epoch=1", "train.epoch is not a known key; did you mean 'epochs'?"),
        ("features.user.bucket=1", "features[0] (user).bucket is not a known key; did you mean 'buckets'?"),
        ("model.expert=1", "model.expert is not a known key; did you mean 'experts'?"),
        ("modle.experts=1", "modle is not a known key; did you mean 'model'?"),
        ("train.epochs=0", "train.epochs: input should be greater than 0, but is 0"),
        ("train.sparse.learning_rates=1", "train.sparse.learning_rates is not a known key; did you mean 'learning_rate'?"),
        ("model.architecture=mmmoe", "model.architecture must be one of 'mmoe', 'ple', 'shared_bottom', 'single', but is 'mmmoe'"),
        ("features.usr.dimension=8", "no item is named 'usr'; did you mean 'user'?"),
        ("data.batch_size=1001", "data: batch_size 1001 must be a multiple of streams 8"),
        ("features.user.dimension=6", "dimension 6 must be a multiple of 4"),
        ("evaluate.batch_size=12", "evaluate.batch_size 12 must be a multiple of data.streams 8"),
        ("tasks.ctr.label", "must have the form section.key=value"),
    ],
)
def test_bad_overrides_are_refused_in_one_line(tmp_path: Path, override: str, expected: str) -> None:
    with pytest.raises(InputError) as refusal:
        load_config(write(tmp_path), [override])
    assert expected in str(refusal.value) and len(str(refusal.value).splitlines()) == 1


def test_every_error_has_its_line_and_a_missing_section_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, model={"architecture": "mmoe", "experts": "many", "towers": 1})
    document = yaml.safe_load(path.read_text())
    del document["tasks"]
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(InputError) as refusal:
        load_config(path)
    lines = str(refusal.value).splitlines()
    assert len(lines) == 3 and all(line.startswith(f"{path}: ") for line in lines) and any("tasks is missing" in line for line in lines)


@pytest.mark.parametrize("text", ["[1, 2]", "a: b: c", ""])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"job\.yaml"):
        load_config(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "absent.yaml")


@given(st.text(min_size=1, max_size=12).filter(lambda key: key.strip() and "." not in key and "=" not in key))
def test_no_unknown_key_of_any_spelling_is_taken(key: str) -> None:
    with pytest.raises(Exception, match=r"."):
        Config.model_validate({**MINIMAL, f"{key}_": 1})


def test_the_schema_in_the_repository_is_the_generated_one() -> None:
    assert json.loads((ROOT / "configs" / "schema.json").read_text()) == json.loads(json_schema())


def test_the_reference_in_the_readme_is_the_generated_one() -> None:
    written = (ROOT / "README.md").read_text().partition("<!-- reference -->")[2].partition("<!-- /reference -->")[0]
    assert written.strip() == reference().strip(), "run: make generated"


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path: Path) -> None:
    assert load_config(path).run.name


def test_a_configuration_is_read_without_torch() -> None:
    code = "import sys, recsys.config_file; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
