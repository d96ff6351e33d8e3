"""The kind `number`: a dense number, and whether it is known if asked."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat

from recsys.data.arrow import finite, plain
from recsys.data.features.feature import FeatureSection, Tables, Transform
from recsys.data.source import Need
from recsys.data.statistics import Measure, Statistics
from recsys.errors import InputError


class NumberFeature(FeatureSection):
    """A dense number."""

    kind: Literal["number"]
    column: str | None = Field(None, description="Column of the log; the feature's name when left out.")
    log1p: bool = Field(False, description="Take log(1 + x) first; x must not be below 0.")
    standardise: bool = Field(True, description="Subtract the mean and divide by the deviation of the training files.")
    clip: PositiveFloat | None = Field(None, description="Largest absolute value after that; farther ones are set to it.")
    default: float | None = Field(
        None, allow_inf_nan=False, description="Number that stands for null, before log1p; the mean when left out."
    )
    missing: bool = Field(False, description="Add a second number: 1 where the column is null, else 0.")

    @property
    def width(self) -> int:
        return 1 + self.missing

    def needs(self, tables: Tables) -> list[Need]:
        return [Need(self.column or self.name, "number", False, f"the number feature {self.name!r}")]

    def measures(self) -> dict[str, Measure]:
        return {self.name: NumberMeasure(self)} if self._learns else {}

    @property
    def _learns(self) -> bool:
        return self.standardise or self.default is None

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        return _Number(self, moments_of(self, statistics) if self._learns else None)


class Moments(BaseModel):
    """Mean and population deviation of the known values of a number feature, after its log1p if it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    mean: float
    deviation: float
    log1p: bool


def moments_of(feature: NumberFeature, statistics: Statistics) -> Moments:
    """The moments of a feature. Raises InputError when they were not measured, or measured on another scale."""
    moments = statistics.of(feature.name, Moments)
    if moments.log1p != feature.log1p:
        raise InputError(
            f"statistics of the feature {feature.name!r} were fitted with log1p: {moments.log1p}; fit them again on the training files"
        )
    return moments


def scaled(feature: NumberFeature, values: pa.Array, where: str) -> NDArray[np.float64]:
    """(N,) float64 values of a number feature after log1p, NaN where null. Raises InputError on NaN, infinity and log1p below 0."""
    where = f"{where}, column {feature.column or feature.name!r}"
    numbers = finite(values, where)
    if not feature.log1p:
        return numbers
    lowest = np.fmin.reduce(numbers, initial=0.0)
    if lowest < 0:
        raise InputError(f"{where}: {lowest:g} is below 0; set `log1p: false` for {feature.name!r}")
    return np.log1p(numbers)


class NumberMeasure:
    """Mean and deviation, merged by the pairwise update of Chan, Golub & LeVeque (1983) in float64; 0 and 0 when no value is known."""

    def __init__(self, feature: NumberFeature) -> None:
        self._feature, self.needs = feature, feature.needs({})
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def update(self, batch: pa.RecordBatch, where: str) -> None:
        """Take in a batch."""
        values = scaled(self._feature, batch.column(self._feature.column or self._feature.name), where)
        values = values[~np.isnan(values)]
        if len(values):
            mean = float(values.mean())
            self._add(len(values), mean, float(np.square(values - mean).sum()))

    def merge(self, later: NumberMeasure) -> None:
        """Take in another measure."""
        self._add(later._count, later._mean, later._squares)

    def _add(self, count: int, mean: float, squares: float) -> None:
        total = self._count + count
        share, gap = count / max(total, 1), mean - self._mean
        self._mean += gap * share
        self._squares += squares + gap**2 * self._count * share
        self._count = total

    def result(self) -> Moments:
        """The moments."""
        deviation = (self._squares / max(self._count, 1)) ** 0.5
        return Moments(count=self._count, mean=self._mean, deviation=deviation, log1p=self._feature.log1p)


class _Number(Transform):
    def __init__(self, feature: NumberFeature, moments: Moments | None) -> None:
        self._feature, self._column = feature, feature.column or feature.name
        self._mean, self._deviation = (moments.mean, moments.deviation or 1.0) if moments and feature.standardise else (0.0, 1.0)
        self._unknown = moments.mean if moments else 0.0
        if feature.default is not None:
            self._unknown = float(scaled(feature, pa.array([feature.default]), f"features: default of {feature.name!r}")[0])

    def fill(self, batch: pa.RecordBatch, where: str, dense: NDArray[np.float32]) -> None:
        column = plain(batch.column(self._column))  # a null may stand in the dictionary
        numbers = scaled(self._feature, column, where)
        if self._feature.missing:
            dense[:, 1] = np.isnan(numbers)
        if column.null_count:
            numbers = np.where(np.isnan(numbers), self._unknown, numbers)
        if self._feature.standardise:
            numbers = numbers - self._mean  # not in place: without nulls these may be Arrow's own
            numbers /= self._deviation
        if self._feature.clip is not None:
            numbers = np.clip(numbers, -self._feature.clip, self._feature.clip)
        dense[:, 0] = numbers
