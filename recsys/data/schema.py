"""The description that lies beside a log: what its columns mean, how many rows each split has, where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recsys.data.listing import files_beside
from recsys.data.stores import PATIENCE, StoreConfig
from recsys.errors import InputError

FILE_NAME = "_schema.yaml"
Kind = Literal["id", "ids", "sequence", "number", "label", "time", "probability", "weight"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Part):
    """One column of a log."""

    name: str
    type: str = Field(description="Arrow type.")
    kind: Kind = Field(description="What it is for. `sequence`: aligned lists; `probability`: a truth that no model may read.")
    description: str


class Split(_Part):
    """The rows of one split."""

    rows: int = 0
    rates: dict[str, float] = Field(default={}, description="Mean of each label, over the rows that have it.")
    best: dict[str, float] = Field(default={}, description="What a model that knows the true probabilities scores; of synthetic logs only.")


class Schema(_Part):
    """The description of a log, kept in its folder as `_schema.yaml`."""

    name: str
    description: str
    source: str
    licence: str
    user: str | None = Field(default=None, description="Column that identifies the user, by which comparisons are grouped.")
    time: str | None = Field(default=None, description="Column that orders the rows.")
    columns: list[Column]
    splits: dict[str, Split] = {}
    duplicates_dropped: int = 0
    seed: int | None = Field(default=None, description="Seed of the generator; of synthetic logs only.")

    @classmethod
    def load(cls, log: Path) -> Schema:
        """The description of the log in the folder `log`.

        Raises InputError when there is none or it can't be read.
        """
        path = log / FILE_NAME
        try:
            return cls._parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise InputError(f"{path}: not found; `{log}` must be a log that `recsys generate` or `recsys prepare` has written") from None

    @classmethod
    def beside(cls, paths: Iterable[str], store: StoreConfig = PATIENCE) -> Schema | None:
        """The description of the log that the first of some files, folders and URIs is part of; None where there is none."""
        for path in paths:
            for found in files_beside(path, FILE_NAME, store):
                with found.filesystem.open_input_stream(found.path) as stream:
                    return cls._parse(stream.read(), found.name)
        return None

    @classmethod
    def _parse(cls, content: bytes, where: str) -> Schema:
        try:
            return cls(**yaml.safe_load(content.decode("utf-8")))
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}; prepare the log again") from None
        except (yaml.YAMLError, TypeError, UnicodeDecodeError):
            raise InputError(f"{where}: is not a description of a log; prepare the log again") from None

    def save(self, log: Path) -> None:
        """Write the description into the folder `log`."""
        text = yaml.safe_dump(self.model_dump(exclude_none=True), sort_keys=False, allow_unicode=True, width=140)
        (log / FILE_NAME).write_text(text, encoding="utf-8")

    def of_kind(self, kind: Kind) -> list[str]:
        """Names of the columns of one kind."""
        return [column.name for column in self.columns if column.kind == kind]

    def with_splits(self, splits: dict[str, Split]) -> Schema:
        """The same description with the rows of each split."""
        return self.model_copy(update={"splits": splits})


def columns_of(schema: Any, meanings: dict[str, tuple[Kind, str]]) -> list[Column]:
    """The columns of an Arrow schema, with the kind and the line of description that `meanings` gives for each."""
    return [
        Column(name=field.name, type=str(field.type), kind=meanings[field.name][0], description=meanings[field.name][1]) for field in schema
    ]
