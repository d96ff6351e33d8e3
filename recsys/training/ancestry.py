"""Where a warm-started model comes from, through all runs before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass
class Ancestry:
    """The run that a job started from; part of its checkpoints.

    run: the id of that run in MLflow, or its folder where it has none. step: of its checkpoint. files: digests of the footers of all
    files that the model had been trained on. before: metrics of the model on `data.train`, before it was trained on it.
    """

    run: str
    step: int
    files: list[str]
    before: dict[str, float] = field(default_factory=dict)

    @classmethod
    def after(cls, run: str, progress: Mapping[str, Any]) -> Self:
        """That of a job which starts from a checkpoint with such a progress."""
        return cls(run, progress["clock"]["step"], trained_files(progress))

    def to_json(self) -> dict[str, Any]:
        """All fields, for `Ancestry(**fields)`."""
        return asdict(self)


def trained_files(progress: Mapping[str, Any]) -> list[str]:
    """Digests of the footers of the files that a checkpoint was trained on, by its own run and by those before it."""
    earlier = (progress.get("ancestry") or {}).get("files", [])
    return list(dict.fromkeys([*earlier, *progress.get("data", {}).get("files", {}).values()]))
