"""Jobs on a small synthetic log."""

from __future__ import annotations

from pathlib import Path

import yaml

DEMO = Path(__file__).parents[1] / "configs" / "demo.yaml"


def write_job(log: Path, folder: Path, **sections: dict) -> Path:
    """The demo's configuration on `log`, with a small batch and narrow experts; `sections` are merged into it."""
    document = yaml.safe_load(DEMO.read_text())
    changes = {
        "run": {"name": "small", "output": str(folder / "run")},
        "data": {split: str(log / f"split={split}") for split in ("train", "valid", "test")} | {"batch_size": 96, "window": 2048},
        "model": {"experts": 2, "expert_layers": [16, 8], "tower_layers": [8]},
        "train": {"epochs": 1},
        "evaluate": {"batch_size": 1024},
        "tracking": {"enabled": False, "uri": f"sqlite:///{folder}/mlflow.db"},
    }
    for source in (changes, sections):
        for section, values in source.items():
            document[section] = {**document.get(section, {}), **values}
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
