"""What is measured on the training files and used ever after: mean and deviation of the number columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recsys.config import NumberFeature
from recsys.data.decode import Decoder
from recsys.data.plan import Piece
from recsys.data.source import Need, Source, open_source
from recsys.errors import InputError


class Moments(BaseModel):
    """Mean and population deviation of the known values of a number feature, after its log1p if it has one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int
    mean: float
    deviation: float
    log1p: bool


class Statistics(BaseModel):
    """Moments by feature name. Training, evaluation and prediction share one, saved beside the model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    numbers: dict[str, Moments]

    def save(self, path: str | Path) -> None:
        """Write JSON, in which float64 survives exactly."""
        Path(path).write_text(self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Statistics:
        """Read what `save` wrote. Raises InputError when it is not that."""
        try:
            return cls.model_validate_json(Path(path).read_text())
        except (OSError, ValidationError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not the statistics of a training split ({str(error).splitlines()[0]}); fit them again") from error

    def moments(self, feature: NumberFeature) -> Moments:
        """The moments of a feature. Raises InputError when they were not measured, or measured on another scale."""
        moments = self.numbers.get(feature.name)
        if moments is None or moments.log1p != feature.log1p:
            what = "are missing" if moments is None else f"were fitted with log1p: {moments.log1p}"
            raise InputError(f"statistics of the number feature {feature.name!r} {what}; fit them again on the training files")
        return moments


def number_needs(features: Iterable[NumberFeature]) -> list[Need]:
    """The columns of number features."""
    return [Need(column_of(feature), "number", False, f"the number feature {feature.name!r}") for feature in features]


def column_of(feature: NumberFeature) -> str:
    """The column of the log that a number feature reads."""
    return feature.column or feature.name


def plain(values: pa.Array) -> pa.Array:
    """The array without a dictionary."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def floats(values: pa.Array) -> NDArray[np.float64]:
    """(N,) float64 of an Arrow array of numbers or booleans (not dictionary-encoded), NaN where null."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def scaled(feature: NumberFeature, values: pa.Array, where: str) -> NDArray[np.float64]:
    """(N,) float64 values of a number feature after log1p, NaN where null. Raises InputError on NaN, infinity and log1p below 0."""
    values = plain(values)
    numbers = floats(values)
    lowest, highest = (np.fmin.reduce(numbers), np.fmax.reduce(numbers)) if len(numbers) > values.null_count else (0.0, 0.0)
    if int(np.isnan(numbers).sum()) != values.null_count or np.isinf(lowest) or np.isinf(highest):
        raise InputError(f"{where}, column {column_of(feature)!r}: NaN or infinity; write null for an unknown number")
    if not feature.log1p:
        return numbers
    if lowest < 0:
        raise InputError(f"{where}, column {column_of(feature)!r}: {lowest:g} is below 0; set `log1p: false` for {feature.name!r}")
    return np.log1p(numbers)


def fit_statistics(paths: Sequence[str], features: Sequence[NumberFeature], threads: int = 2) -> Statistics:
    """Mean and deviation of the number features over the rows of `paths`, in one pass and bounded memory.

    Batches are merged by the pairwise update of Chan, Golub & LeVeque (1983) in float64, in the files' order, so that the result does not
    depend on the number of threads. A feature with no known value gets mean 0 and deviation 0.
    """
    if not features:
        return Statistics(numbers={})
    source = open_source(paths, number_needs(features), threads)
    with ThreadPoolExecutor(threads, thread_name_prefix="statistics") as pool:
        total = np.zeros((3, len(features)))
        for part in pool.map(lambda file: _of_file(source, file, features), range(len(source.files))):
            total = _merge(total, part)
    count, mean, squares = total
    deviation = np.sqrt(squares / np.maximum(count, 1))
    return Statistics(
        numbers={
            feature.name: Moments(count=int(count[i]), mean=float(mean[i]), deviation=float(deviation[i]), log1p=feature.log1p)
            for i, feature in enumerate(features)
        }
    )


def _of_file(source: Source, file: int, features: Sequence[NumberFeature]) -> NDArray[np.float64]:
    """(3, D) count, mean and sum of squared deviations of a file's numbers."""
    total = np.zeros((3, len(features)))
    decoder = Decoder(source, list(dict.fromkeys(map(column_of, features))))
    for group, rows in enumerate(source.files[file].groups):
        for where, batch in decoder.read(Piece(file, group, 0, rows)):
            columns = (scaled(feature, batch.column(column_of(feature)), where) for feature in features)
            total = _merge(total, np.array([_of_column(values) for values in columns]).T)
    decoder.close()
    return total


def _of_column(values: NDArray[np.float64]) -> tuple[float, float, float]:
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 0.0, 0.0
    mean = known.mean()
    return len(known), mean, np.square(known - mean).sum()


def _merge(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, D) of two (3, D) parts."""
    count = left[0] + right[0]
    share = right[0] / np.maximum(count, 1)
    gap = right[1] - left[1]
    return np.stack([count, left[1] + gap * share, left[2] + right[2] + gap**2 * left[0] * share])
