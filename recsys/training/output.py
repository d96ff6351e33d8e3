"""The folder of a run: what may be put there and what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

from recsys import config_file
from recsys.config import Config
from recsys.config_file import dump_config, load_config
from recsys.data import statistics
from recsys.errors import InputError
from recsys.files import write_whole

CONFIG, STATISTICS, RESULT = config_file.FILE_NAME, statistics.FILE_NAME, "result.json"
PLAN, MEMORY = "plan.json", "memory.json"
CHECKPOINTS, FIGURES, MODEL, INDEX = "checkpoints", "figures", "model", "index.json"
# What a resumed job must share with the one it goes on with; the rest (epochs, evaluation, tracking) may change.
FIXED_SECTIONS = ("features", "tasks", "model", "mto")
FIXED_DATA = ("train", "batch_size", "streams", "window")


def prepare_output(folder: Path, config: Config, *, resume: bool, overwrite: bool, or_start: bool = False) -> None:
    """Make `folder` ready for the run and write its resolved configuration there.

    resume: the folder must hold a run of the same job, with a checkpoint. or_start: with a checkpoint it goes on, without one it starts,
    also after an attempt that was killed too early to leave any.

    Raises InputError when the folder holds another run and `overwrite` isn't set, or when a resumed run is not the same job.
    """
    earlier = folder / CONFIG
    there = earlier.exists()
    if resume and not there:
        raise InputError(f"{folder}: holds no run to go on with; train without --resume")
    if there and (resume or or_start):
        _refuse_another_job(earlier, config)
    elif there and overwrite:
        shutil.rmtree(folder)
    elif _is_taken(folder):
        raise InputError(
            f"{folder}: is not empty; --resume goes on with the run there, --overwrite replaces it, --output names another folder"
            if there
            else f"{folder}: is not empty and holds no run of ours; name another folder with --output"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(earlier, dump_config(config))


def has_checkpoint(folder: Path) -> bool:
    """Whether the run in `folder` can go on from a checkpoint."""
    return (folder / CHECKPOINTS / INDEX).exists()


def _is_taken(folder: Path) -> bool:
    """Whether there is anything but a configuration that a killed attempt was just writing."""
    return folder.exists() and not all(path.name.startswith(f".{CONFIG}.") for path in folder.iterdir())


def _refuse_another_job(path: Path, config: Config) -> None:
    # Loaded, not compared as text: an older run lacks the keys that came later.
    before, now = load_config(path).model_dump(mode="json"), config.model_dump(mode="json")
    changed = [section for section in FIXED_SECTIONS if before.get(section) != now[section]]
    changed += [f"data.{key}" for key in FIXED_DATA if before["data"].get(key) != now["data"][key]]
    changed += ["run.seed"] * (before["run"]["seed"] != now["run"]["seed"])
    if changed:
        raise InputError(f"{path}: --resume needs the same job, but {', '.join(changed)} changed; train without --resume in another folder")
