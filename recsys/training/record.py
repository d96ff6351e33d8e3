"""Small files and flat names for the record of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyarrow import fs

from recsys.config import Config
from recsys.data.listing import Found, files_beside
from recsys.data.schema import FILE_NAME
from recsys.data.stores import StoreConfig


def parameters(config: Config) -> dict[str, Any]:
    """The configuration as flat MLflow parameters: `train.dense.learning_rate`, `features.user_id.dimension`; without what is not set."""
    flat: dict[str, Any] = {}
    _flatten("", config.model_dump(mode="json"), flat)
    return flat


def schemas(paths: Sequence[str], store: StoreConfig, folder: Path) -> list[Path]:
    """The descriptions that lie beside the logs which `paths` are part of, where there are any; those in a store are copied to `folder`."""
    found = {file.name: file for path in paths for file in files_beside(path, FILE_NAME, store)}
    return [_local(file, folder / f"schema-{number}.yaml") for number, file in enumerate(found.values())]


def _local(file: Found, copy: Path) -> Path:
    if isinstance(file.filesystem, fs.LocalFileSystem):
        return Path(file.path)
    with file.filesystem.open_input_stream(file.path) as stream:
        copy.write_bytes(stream.read())
    return copy


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, making the folder if need be; the file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.writing")
    with temporary.open("w") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(f"{prefix}.{key}" if prefix else key, item, flat)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for position, item in enumerate(value):
            _flatten(f"{prefix}.{item.get('name', item.get('column', position))}", item, flat)
    elif value is not None and value != {}:
        flat[prefix] = value
