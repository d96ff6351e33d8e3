"""What a run's folder takes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from recsys.config_file import load_config
from recsys.errors import InputError
from recsys.training.output import has_checkpoint, prepare_output

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


def test_resume_or_start_does_what_the_folder_needs(tmp_path: Path) -> None:
    folder, config = tmp_path / "run", load_config(DEMO)

    def attempt(settings: list[str] = []) -> bool:  # noqa: B006
        prepare_output(folder, load_config(DEMO, settings), resume=False, overwrite=False, or_start=True)
        return has_checkpoint(folder)

    assert not attempt(), "nothing there: it starts"
    assert not attempt(), "an attempt that was killed before its first checkpoint: it starts again"
    (folder / "config.yaml").rename(folder / ".config.yaml.123")
    assert not attempt(), "killed while it wrote its configuration"
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "index.json").touch()
    assert attempt(["train.epochs=9"]), "a checkpoint: it goes on"
    with pytest.raises(InputError, match="needs the same job, but features changed"):
        attempt(["features.age.clip=3"])
    with pytest.raises(InputError, match="--resume goes on with the run there, --overwrite replaces it"):
        prepare_output(folder, config, resume=False, overwrite=False)
    (folder / "config.yaml").unlink()
    with pytest.raises(InputError, match="no run of ours"):
        attempt()
