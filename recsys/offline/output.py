"""The folder of an evaluation."""

from __future__ import annotations

import shutil
from pathlib import Path

from recsys.errors import InputError

RECORD, PAGE, REQUEST = "comparison.json", "page.html", "request.json"


def prepare_output(folder: Path, *, overwrite: bool) -> None:
    """Make `folder` ready. Raises InputError when it holds another evaluation and `overwrite` isn't set, or something else."""
    if folder.exists() and any(folder.iterdir()):
        ours = (folder / REQUEST).exists()
        if not (ours and overwrite):
            what = "--overwrite replaces the evaluation there, --output" if ours else "it holds no evaluation of ours; --output"
            raise InputError(f"{folder}: is not empty; {what} names another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
