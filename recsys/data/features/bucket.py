"""The kind `bucket`: the interval that a number falls in, as an id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from recsys.data.arrow import finite
from recsys.data.features.embedding import Embedding, owner_of
from recsys.data.features.feature import FeatureSection, Slot, Tables, TableSpec, Transform
from recsys.data.hashing import row_type
from recsys.data.quantiles import QuantileSketch
from recsys.data.ragged import Ids
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics
from recsys.errors import InputError


class BucketFeature(Embedding, FeatureSection):
    """The interval that a number falls in, as an id."""

    kind: Literal["bucket"]
    column: str | None = Field(None, description="Column of the log; the feature's name when left out.")
    boundaries: list[FiniteFloat] | None = Field(
        None, min_length=1, description="Rising numbers; interval i holds those above boundary i - 1 and up to boundary i, which is in it."
    )
    quantiles: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Number of intervals, of equally many rows of the training files each; instead of `boundaries`."
    )
    default: FiniteFloat | None = Field(None, description="Number that stands for null; null has a row of its own when left out.")

    @model_validator(mode="after")
    def _intervals_come_from_one_place(self) -> Self:
        if sum(given is not None for given in (self.boundaries, self.quantiles, self.table)) != 1:
            raise ValueError("give one of `boundaries`, `quantiles` and `table` (the `bucket` feature whose intervals and table it shares)")
        if self.boundaries is not None and sorted(set(self.boundaries)) != self.boundaries:
            raise ValueError("boundaries must rise")
        return self

    def tables(self) -> list[TableSpec]:
        return self.own_table(self.name, self.quantiles if self.boundaries is None else len(self.boundaries) + 1)

    def slots(self) -> list[Slot]:
        return [Slot(self.name, self.table or self.name)]

    def check(self, slots: Mapping[str, Slot], tables: Tables) -> None:
        owner_of(self.table or self.name, tables, BucketFeature, self.name)

    def needs(self, tables: Tables) -> list[Need]:
        return [Need(self.column or self.name, "number", False, f"the feature {self.name!r}")]

    def measures(self) -> dict[str, Measure]:
        return {} if self.quantiles is None else {self.name: QuantileMeasure(self, self.quantiles)}

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        name = self.table or self.name
        owner = owner_of(name, tables, BucketFeature, self.name)
        return _Bucket(self, owner.boundaries or learned_boundaries(owner, statistics))


class Quantiles(BaseModel):
    """The boundaries of `intervals` intervals of equally many of `count` known values; fewer where values repeat a lot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    intervals: int
    boundaries: list[float]


def learned_boundaries(feature: BucketFeature, statistics: Statistics) -> list[float]:
    """The boundaries of quantiles. Raises InputError when they were not measured, or another number of them."""
    quantiles = statistics.of(feature.name, Quantiles)
    if quantiles.intervals != feature.quantiles:
        raise InputError(
            f"statistics of the feature {feature.name!r} were fitted with quantiles: {quantiles.intervals}; "
            "fit them again on the training files"
        )
    return quantiles.boundaries


class QuantileMeasure:
    """The quantiles of a column's known values."""

    def __init__(self, feature: BucketFeature, intervals: int) -> None:
        self._column, self._intervals, self.needs = feature.column or feature.name, intervals, feature.needs({})
        self._sketch = QuantileSketch()

    def update(self, batch: pa.RecordBatch, where: str) -> None:
        """Take in a batch."""
        values = finite(batch.column(self._column), f"{where}, column {self._column!r}")
        self._sketch.add(values[~np.isnan(values)])

    def merge(self, later: QuantileMeasure) -> None:
        """Take in another measure."""
        self._sketch.merge(later._sketch)

    def result(self) -> Quantiles:
        """The boundaries; each once."""
        at = np.arange(1, self._intervals) / self._intervals
        boundaries = np.unique(self._sketch.quantiles(at)).tolist()
        return Quantiles(count=self._sketch.count, intervals=self._intervals, boundaries=boundaries)


class _Bucket(Transform):
    def __init__(self, feature: BucketFeature, boundaries: list[float]) -> None:
        self._column, self._boundaries = feature.column or feature.name, np.array(boundaries)
        self._unknown = 0 if feature.default is None else 1 + int(np.searchsorted(self._boundaries, feature.default))

    def ids(self, batch: pa.RecordBatch, where: str) -> list[Ids]:
        values = finite(batch.column(self._column), f"{where}, column {self._column!r}")
        rows = (np.searchsorted(self._boundaries, values) + 1).astype(row_type(len(self._boundaries)))
        rows[np.isnan(values)] = self._unknown
        return [rows]
