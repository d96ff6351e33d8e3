"""Small files and flat names for the record of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.config import Config
from recsys.data.schema import FILE_NAME


def parameters(config: Config) -> dict[str, Any]:
    """The configuration as flat MLflow parameters: `train.dense.learning_rate`, `features.user_id.dimension`; without what is not set."""
    flat: dict[str, Any] = {}
    _flatten("", config.model_dump(mode="json"), flat)
    return flat


def schemas(paths: Sequence[str]) -> list[Path]:
    """The descriptions that lie beside the logs which `paths` are part of, where there are any."""
    folders = [folder for path in map(Path, paths) for folder in (path, *path.parents)]
    found = [folder / FILE_NAME for folder in folders if (folder / FILE_NAME).is_file()]
    return list(dict.fromkeys(found))


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON, making the folder if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def _flatten(prefix: str, value: Any, flat: dict[str, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _flatten(f"{prefix}.{key}" if prefix else key, item, flat)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for position, item in enumerate(value):
            _flatten(f"{prefix}.{item.get('name', item.get('column', position))}", item, flat)
    elif value is not None and value != {}:
        flat[prefix] = value
