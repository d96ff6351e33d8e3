"""Small files: written whole or not at all, read as what they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from recsys.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is never seen half written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def read_model(kind: type[Model], path: Path, what: str, advice: str = "") -> Model:
    """The JSON file of a model. Raises InputError, `PATH: WHAT (the reason)` with `advice` behind, where it is none."""
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {what} ({str(error).splitlines()[0]}){advice}") from error
