"""What is measured on the training files, or read from files beside them, and used ever after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import pyarrow as pa
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from recsys.data.decode import Decoder
from recsys.data.guard import Guard, guarded_map
from recsys.data.plan import Piece
from recsys.data.source import Need, Source, open_source
from recsys.data.stores import PATIENCE, StoreConfig
from recsys.errors import InputError
from recsys.files import read_model

FILE_NAME = "statistics.json"
Learnt = TypeVar("Learnt", bound=BaseModel)


class Measure(Protocol):
    """Something learned in one pass and bounded memory. Every file has a measure of its own; they are merged in the files' order."""

    @property
    def needs(self) -> Sequence[Need]:
        """The columns of the log that it looks at."""

    def update(self, batch: pa.RecordBatch, where: str) -> None:
        """Take in the rows of an Arrow batch; `where` names its file and row group in an InputError."""

    def merge(self, later: Self) -> None:
        """Take in what was measured on a later file."""

    def result(self) -> BaseModel:
        """What is kept."""


class Measured(Protocol):
    """A feature, as far as statistics go."""

    def measures(self) -> Mapping[str, Measure]:
        """New measures, by the name under which their result is kept."""


class Statistics(BaseModel):
    """What each feature has learned, by name. Training, evaluation and prediction share one, saved beside the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Runs of before there were other kinds say `numbers`.
    features: dict[str, dict[str, Any]] = Field(validation_alias=AliasChoices("features", "numbers"))

    def save(self, path: str | Path) -> None:
        """Write JSON, in which float64 survives exactly."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote. Raises InputError when it is not that."""
        return read_model(cls, Path(path), "not the statistics of a training split", "; fit them again")

    def of(self, name: str, kind: type[Learnt]) -> Learnt:
        """What was learned under a name. Raises InputError when it is missing or something else."""
        try:
            return kind.model_validate(self.features[name])
        except (KeyError, ValidationError) as error:
            what = "are missing" if isinstance(error, KeyError) else f"are no {kind.__name__.lower()}"
            raise InputError(f"statistics of the feature {name!r} {what}; fit them again on the training files") from error


def fit_statistics(
    paths: Sequence[str], features: Sequence[Measured], threads: int = 2, store: StoreConfig = PATIENCE, guard: Guard | None = None
) -> Statistics:
    """What the features learn from the rows of `paths`, in one pass and bounded memory. It does not depend on the number of threads.

    guard: what is done about damage; of a row group that is skipped, the rows before the damage count.
    """
    guard = guard or Guard()
    total = _measures(features)
    needs = list(_needs(total))
    if needs:
        source = open_source(paths, needs, threads, store, guard)
        of_file = partial(_of_file, source, features, guard)
        for part in guarded_map(guard, threads, "statistics", of_file, range(len(source.files))):
            for name, measure in part.items():
                total[name].merge(measure)
    return Statistics(features={name: measure.result().model_dump() for name, measure in total.items()})


def _measures(features: Sequence[Measured]) -> dict[str, Measure]:
    return {name: measure for feature in features for name, measure in feature.measures().items()}


def _needs(measures: Mapping[str, Measure]) -> Iterable[Need]:
    return (need for measure in measures.values() for need in measure.needs)


def _of_file(source: Source, features: Sequence[Measured], guard: Guard, file: int) -> dict[str, Measure]:
    """The measures of one file's rows."""
    measures = _measures(features)
    decoder = Decoder(source, list(dict.fromkeys(need.column for need in _needs(measures))), guard)
    for group, rows in enumerate(source.files[file].groups):
        try:
            for where, batch in decoder.read(Piece(file, group, 0, rows, rows)):
                for measure in measures.values():
                    measure.update(batch, where)
        except InputError as error:
            guard.skip(error)
    decoder.close()
    return measures
