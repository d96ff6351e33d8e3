"""The entries of a group as arrays: what every figure of the findings is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.study.analysis.delta_m import delta_m
from recsys.study.findings import StudyTask


@dataclass(frozen=True)
class Field:
    """Deciding metrics of E entries over S seeds and K tasks; NaN where a child is missing.

    names: E, unique. ranked: (E,) whether an entry is a way to share, which single-task models are not. test, valid: (E, S, K).
    replicates: (E, S, K, r) of the test rows, r = 0 where no scores were kept. clusters: that were resampled.
    """

    names: Sequence[str]
    seeds: Sequence[int]
    tasks: Sequence[StudyTask]
    ranked: NDArray[np.bool_]
    test: NDArray[np.float64]
    valid: NDArray[np.float64]
    replicates: NDArray[np.float64]
    clusters: int

    @property
    def directions(self) -> list[bool]:
        """(K,) whether higher is better."""
        return [task.higher_is_better for task in self.tasks]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(E, S) whether a child was measured on the test split."""
        return np.asarray(np.isfinite(self.test).all(2))

    def place(self, name: str) -> int:
        """Of an entry."""
        return list(self.names).index(name)

    def upwards(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., K) values turned so that higher is better."""
        return values * np.where(self.directions, 1.0, -1.0)

    def delta_m(self, reference: str, *, valid: bool = False) -> NDArray[np.float64]:
        """(E, S) per cent, each seed's to the reference's run of the same seed."""
        values = self.valid if valid else self.test
        return delta_m(values, values[self.place(reference)], self.directions)

    def delta_m_replicates(self, reference: str) -> NDArray[np.float64]:
        """(E, S, r) the same in the replicates."""
        values = np.moveaxis(self.replicates, 2, 3)
        return delta_m(values, values[self.place(reference)], self.directions)
