"""The kind `vector`: a list of numbers of one size, such as a content embedding."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, PositiveInt

from recsys.data.arrow import floats, plain, stored
from recsys.data.features.feature import FeatureSection, Tables, Transform, turn
from recsys.data.features.lists import Lists, absent
from recsys.data.source import Need
from recsys.data.statistics import Statistics
from recsys.errors import InputError


class VectorFeature(FeatureSection):
    """A list of numbers of one size, such as a content embedding."""

    kind: Literal["vector"]
    column: str | None = Field(None, description="Column of the log; the feature's name when left out.")
    size: PositiveInt = Field(description="Numbers of each row.")
    default: FiniteFloat = Field(0.0, description="What each number of a row without a list is.")

    @property
    def width(self) -> int:
        return self.size

    def needs(self, tables: Tables) -> list[Need]:
        return [Need(self.column or self.name, "number", True, f"the feature {self.name!r}")]

    def transform(self, tables: Tables, statistics: Statistics) -> Transform:
        return _Vector(self.column or self.name, self.size, self.default)


class _Vector(Transform):
    def __init__(self, column: str, size: int, default: float) -> None:
        self._column, self._size, self._default = column, size, default

    def fill(self, batch: pa.RecordBatch, where: str, dense: NDArray[np.float32]) -> None:
        column = batch.column(self._column)
        lists, missing = Lists.of(column), absent(column)
        wrong = lists.lengths != self._size
        wrong[missing] = False
        if wrong.any():
            raise InputError(
                f"{where}, column {self._column!r}: a list of {lists.lengths[wrong][0]} numbers, but `size` is {self._size}; "
                "mend the column or set `size`"
            )
        numbers = self._numbers(lists.laid()[0], where).reshape(-1, self._size)
        if not len(missing):
            turn(numbers, dense)
            return
        there = np.ones(len(column), np.bool_)
        there[missing] = False
        dense[there], dense[missing] = numbers, self._default

    def _numbers(self, values: pa.Array, where: str) -> NDArray:
        """The elements, without a copy where they are floats."""
        values = plain(values)
        narrow = pa.types.is_float32(values.type) and not values.null_count
        numbers = stored(values) if narrow else floats(values)
        if not np.isfinite(numbers).all():
            raise InputError(f"{where}, column {self._column!r}: a null, NaN or infinity in a list; write null for an unknown list")
        return numbers
