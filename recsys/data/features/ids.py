"""The kind `ids`: a list of ids a row, pooled, each with a weight if asked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from recsys.data.arrow import floats, plain
from recsys.data.features.encoding import Encoding, Table, encoding_of, reads
from recsys.data.features.feature import FeatureSection, Slot, Tables, TableSpec, Transform
from recsys.data.features.lists import Lists, absent, check_aligned, encoded
from recsys.data.ragged import Ids, Ragged
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics
from recsys.errors import InputError


class IdsFeature(Table, FeatureSection):
    """A list of ids a row, pooled."""

    kind: Literal["ids"]
    column: str | None = Field(None, description="Column of the log; the feature's name when left out.")
    pooling: Literal["sum", "mean"] = Field("mean", description="With `weights`, the weighted sum or the weighted mean.")
    max_length: PositiveInt = Field(50, description="Ids of a row that are used: the last ones.")
    weights: str | None = Field(
        None, description="List column, aligned with the ids, of weights not below 0; null is 1. All ids weigh the same when left out."
    )

    def tables(self) -> list[TableSpec]:
        return self.own_table(self.name, self.buckets)

    def slots(self) -> list[Slot]:
        return [Slot(self.name, self.table or self.name, self.max_length, self.pooling, weighted=self.weights is not None)]

    def needs(self, tables: Tables) -> list[Need]:
        ids = Need(self.column or self.name, reads(self, self.name, tables), True, f"the feature {self.name!r}")
        weights = [] if self.weights is None else [Need(self.weights, "number", True, f"the weights of the feature {self.name!r}")]
        return [ids, *weights]

    def measures(self) -> dict[str, Measure]:
        return self.vocabulary_measures(self.name)

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        return _Ids(self, encoding_of(self, self.name, tables, statistics))


class _Ids(Transform):
    def __init__(self, feature: IdsFeature, encode: Encoding) -> None:
        self._feature, self._column, self._encode = feature, feature.column or feature.name, encode

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        column = batch.column(self._column)
        lists = Lists.of(column)
        ids = encoded(lists.last(self._feature.max_length), self._encode, f"{where}, column {self._column!r}")
        if self._feature.weights is not None:
            ids = Ragged(ids.values, ids.offsets, self._weights(lists, Lists.of(batch.column(self._feature.weights)), where))
        return [ids if self._feature.default is None else self._with_default(ids, column, where)]

    def _weights(self, ids: Lists, weights: Lists, where: str) -> NDArray[np.float32]:
        """The weight of each id that is used."""
        name = self._feature.weights
        check_aligned({self._column: ids, str(name): weights}, where, f"the feature {self._feature.name!r}")
        values = plain(weights.last(self._feature.max_length).laid()[0])
        numbers = floats(values.fill_null(1))
        good = (numbers >= 0) & np.isfinite(numbers)
        if not good.all():
            raise InputError(
                f"{where}, column {name!r}: weight {numbers[~good][0]:g}, but it must be finite and not below 0; mend the column"
            )
        return numbers.astype(np.float32)

    def _with_default(self, ids: Ragged, column: pa.Array, where: str) -> Ragged:
        """A row without a list has the default alone, with weight 1."""
        rows = absent(column)
        if not len(rows):
            return ids
        default = self._encode(pa.nulls(1, column.type.value_type), where)[0]
        offsets = ids.offsets + np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(column)))])
        places = ids.offsets[rows]
        weights = None if ids.weights is None else np.insert(ids.weights, places, np.float32(1))
        return Ragged(np.insert(ids.values, places, default), offsets, weights)
