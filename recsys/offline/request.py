"""What is to be scored, as it is handed to the processes that do it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from recsys.config import Task
from recsys.data.source import Need
from recsys.data.stores import PATIENCE, StoreConfig
from recsys.section import Section


class Scored(Section):
    """One model, or one file of someone else's scores. name: `CANDIDATE`, or `CANDIDATE.SEED` where a candidate has several seeds."""

    name: str
    kind: Literal["model", "scores"]
    path: Path


class Request(Section):
    """Score the rows of `data` with each of `runs`, into `output`.

    tasks: on which the runs are compared; labels and sample spaces are read as they say. columns: of the log that ride along, each with
    what it is for. hours: column of times, whose hour of the day (UTC) rides along as `hour`.
    """

    data: list[str]
    tasks: list[Task]
    runs: list[Scored]
    columns: dict[str, str]
    hours: str | None = None
    output: Path
    store: StoreConfig = PATIENCE

    @property
    def scratch(self) -> Path:
        """Where scores lie until they are put beside the rows."""
        return self.output / ".scratch"

    @property
    def scores(self) -> Path:
        """The folder of the parquet files."""
        return self.output / "scores"

    @property
    def needs(self) -> list[Need]:
        """The columns that ride along, as the reader asks for them."""
        return [Need(column, "any", False, purpose) for column, purpose in self.columns.items()] + (
            [Need(self.hours, "any", False, "the hour")] if self.hours else []
        )
