"""The model of a run as one folder, with all that is needed to score with it and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from recsys.data.schema import FILE_NAME as SCHEMA
from recsys.training.output import CHECKPOINTS, CONFIG, INDEX, MODEL, STATISTICS


def package_model(output: Path, schemas: Sequence[Path]) -> Path:
    """Make `output`/model anew: `config.yaml`, `statistics.json`, `_schema.yaml`, and the best checkpoint as the only one.

    It has the layout of a run's folder, so whatever reads one reads the other. Checkpoint files are linked where the file system can, and
    then take no room. Rank 0 alone calls it.
    """
    folder, index = output / MODEL, json.loads((output / CHECKPOINTS / INDEX).read_text())
    shutil.rmtree(folder, ignore_errors=True)
    (folder / CHECKPOINTS).mkdir(parents=True)
    for name in (CONFIG, STATISTICS):
        shutil.copyfile(output / name, folder / name)
    if schemas:
        shutil.copyfile(schemas[0], folder / SCHEMA)
    shutil.copytree(output / CHECKPOINTS / index["best"], folder / CHECKPOINTS / index["best"], copy_function=_link)
    (folder / CHECKPOINTS / INDEX).write_text(json.dumps({"best": index["best"]}))
    return folder


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
