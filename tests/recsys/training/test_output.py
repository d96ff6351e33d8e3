"""What a run's folder takes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recsys.config_file import load_config
from recsys.errors import InputError
from recsys.training.output import prepare_output

DEMO = Path(__file__).parents[3] / "configs" / "demo.yaml"


def test_a_run_from_before_a_key_existed_can_be_resumed(tmp_path: Path) -> None:
    config = load_config(DEMO)
    prepare_output(tmp_path / "run", config, resume=False, overwrite=False)
    path = tmp_path / "run" / "config.yaml"
    document = yaml.safe_load(path.read_text())
    for feature in document["features"]:
        feature.pop("default", None)
        feature.pop("offset", None)
    path.write_text(yaml.safe_dump(document))
    prepare_output(tmp_path / "run", config, resume=True, overwrite=False)
    assert load_config(path) == config


def test_another_job_is_not_resumed(tmp_path: Path) -> None:
    prepare_output(tmp_path, load_config(DEMO), resume=False, overwrite=False)
    with pytest.raises(InputError, match="--resume needs the same job, but features changed"):
        prepare_output(tmp_path, load_config(DEMO, ["features.age.clip=3"]), resume=True, overwrite=False)
