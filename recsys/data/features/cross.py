"""The kind `cross`: the combination of several id columns, hashed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from recsys.data.arrow import fits, known
from recsys.data.features.embedding import Buckets, owner_of
from recsys.data.features.feature import FeatureSection, Slot, Tables, TableSpec, Transform
from recsys.data.hashing import Words, buckets_of, hash_tuples, hash_values
from recsys.data.ragged import Ids
from recsys.data.source import Need
from recsys.data.statistics import Statistics
from recsys.errors import InputError


class CrossFeature(Buckets, FeatureSection):
    """The combination of several id columns, hashed."""

    kind: Literal["cross"]
    columns: list[str] = Field(min_length=2, description="Columns of the log with one id a row each; their order counts.")
    default: int | str | None = Field(
        None, description="Id that stands for null in each column; when left out, a row with a null in one of them has a row of its own."
    )

    def tables(self) -> list[TableSpec]:
        return self.own_table(self.name, self.buckets)

    def slots(self) -> list[Slot]:
        return [Slot(self.name, self.table or self.name)]

    def check(self, slots: Mapping[str, Slot], tables: Tables) -> None:
        owner_of(self.table or self.name, tables, CrossFeature, self.name)

    def needs(self, tables: Tables) -> list[Need]:
        return [Need(column, "id", False, f"the feature {self.name!r}") for column in self.columns]

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        owner = owner_of(self.table or self.name, tables, CrossFeature, self.name)
        assert owner.buckets is not None
        return _Cross(self, owner.buckets)


class _Cross(Transform):
    def __init__(self, feature: CrossFeature, buckets: int) -> None:
        self._feature, self._buckets = feature, buckets
        self._default = None if feature.default is None else hash_values(pa.array([feature.default]))[0]

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        missing = np.zeros(batch.num_rows, np.bool_)
        hashes = [self._hashes(batch.column(column), f"{where}, column {column!r}", missing) for column in self._feature.columns]
        rows = buckets_of(hash_tuples(hashes), self._buckets)
        rows[missing] = 0
        return [rows]

    def _hashes(self, values: pa.Array, where: str, missing: NDArray[np.bool_]) -> Words:
        """(N,) hashes of a column; where it is null that of the default, or `missing` is set."""
        hashes, there = hash_values(values), known(values)
        if self._feature.default is None or self._default is None:
            missing |= False if there is None else ~there
            return hashes
        if not fits(self._feature.default, values.type):
            raise InputError(f"{where}: is {values.type}, but the default of {self._feature.name!r} is not; write it as the column has it")
        return hashes if there is None else np.where(there, hashes, self._default)
