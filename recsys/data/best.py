"""The best that any model could score on a synthetic log: the metrics of the true probabilities."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_COLUMNS = ("click", "conversion", "dwell_seconds", "p_click", "p_conversion", "expected_log_dwell")


class BestScore:
    """What the true probabilities score on a split, at constant memory."""

    def __init__(self) -> None:
        self._click, self._conversion = BinnedAuc(), BinnedAuc()
        self._squares, self._rows = 0.0, 0

    def add(self, rows: pa.Table) -> None:
        """Count the rows of a table with the columns that `recsys.data.synthetic` describes."""
        column = {name: rows[name].to_numpy() for name in _COLUMNS}
        clicked = column["click"] == 1
        self._click.add(column["p_click"], column["click"])
        self._conversion.add(column["p_conversion"][clicked], column["conversion"][clicked])
        error = np.log1p(column["dwell_seconds"].astype(np.float64)) - column["expected_log_dwell"]
        self._squares += float(error @ error)
        self._rows += len(error)

    def values(self) -> dict[str, float]:
        """The metrics, by the names that a report of a trained model has for them."""
        rmse = (self._squares / self._rows) ** 0.5 if self._rows else float("nan")
        return {"ctr/auc": self._click.value(), "cvr/auc": self._conversion.value(), "dwell/rmse_log1p": rmse}


class BinnedAuc:
    """AUC over 2^16 bins of the probability; pairs within a bin count half, which is off by less than 1e-4."""

    def __init__(self, bins: int = 1 << 16) -> None:
        self._counts = np.zeros((2, bins), np.int64)

    def add(self, probability: NDArray[np.float32], label: NDArray[np.int8]) -> None:
        bins = self._counts.shape[1]
        place = (probability * bins).astype(np.int64).clip(0, bins - 1) + bins * label.astype(np.int64)
        self._counts += np.bincount(place, minlength=2 * bins).reshape(2, bins)

    def value(self) -> float:
        """The AUC; NaN where a class has no rows."""
        negatives, positives = self._counts.astype(np.float64)
        pairs = negatives.sum() * positives.sum()
        below = np.cumsum(negatives) - negatives / 2
        return float(positives @ below / pairs) if pairs else float("nan")
