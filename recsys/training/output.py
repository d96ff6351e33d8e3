"""The folder of a run: what may be put there and what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from recsys import config_file
from recsys.config import Config
from recsys.config_file import dump_config, load_config
from recsys.data import statistics
from recsys.errors import InputError

CONFIG, STATISTICS, PLAN, RESULT = config_file.FILE_NAME, statistics.FILE_NAME, "plan.json", "result.json"
CHECKPOINTS, FIGURES, MODEL = "checkpoints", "figures", "model"
# What a resumed job must share with the one it goes on with; the rest (epochs, evaluation, tracking) may change.
FIXED_SECTIONS = ("features", "tasks", "model", "mto")
FIXED_DATA = ("train", "batch_size", "streams", "window")


def prepare_output(folder: Path, config: Config, *, resume: bool, overwrite: bool) -> None:
    """Make `folder` ready for the run and write its resolved configuration there.

    Raises InputError when it holds another run and neither `resume` nor `overwrite` is set, or when a resumed run is not the same job.
    """
    earlier = folder / CONFIG
    if resume:
        _refuse_another_job(earlier, config)
    elif earlier.exists() and overwrite:
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(
            f"{folder}: is not empty; --resume goes on with the run there, --overwrite replaces it, --output names another folder"
            if earlier.exists()
            else f"{folder}: is not empty and holds no run of ours; name another folder with --output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    earlier.write_text(dump_config(config))


def _refuse_another_job(path: Path, config: Config) -> None:
    if not path.exists():
        raise InputError(f"{path.parent}: holds no run to go on with; train without --resume")
    # Loaded, not compared as text: an older run lacks the keys that came later.
    before, now = load_config(path).model_dump(mode="json"), config.model_dump(mode="json")
    changed = [section for section in FIXED_SECTIONS if before.get(section) != now[section]]
    changed += [f"data.{key}" for key in FIXED_DATA if before["data"].get(key) != now["data"][key]]
    changed += ["run.seed"] * (before["run"]["seed"] != now["run"]["seed"])
    if changed:
        raise InputError(f"{path}: --resume needs the same job, but {', '.join(changed)} changed; train without --resume in another folder")
