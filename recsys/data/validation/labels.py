"""How often each label is there and positive, by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config import BinaryTask, Task
from recsys.data.arrow import floats, plain, valid


@dataclass
class Rates:
    """Counts of one task over some rows.

    rows: all; labelled: with a label; space: labelled and in the sample space; positives: of those, positive (longer than the threshold);
    total: sum of the labels in the space; outside: positive labels outside the space; out_of_range: labels that the task can't have.
    """

    rows: int = 0
    labelled: int = 0
    space: int = 0
    positives: int = 0
    total: float = 0.0
    outside: int = 0
    out_of_range: int = 0

    def __add__(self, other: Rates) -> Rates:
        return Rates(*(left + right for left, right in zip(vars(self).values(), vars(other).values(), strict=True)))

    @property
    def rate(self) -> float:
        """Share of positives in the sample space; NaN where that is empty."""
        return self.positives / self.space if self.space else float("nan")

    @property
    def mean(self) -> float:
        """Mean label in the sample space."""
        return self.total / self.space if self.space else float("nan")


def positive_above(task: Task) -> float:
    """The label above which a row is a positive."""
    return 0.0 if isinstance(task, BinaryTask) else task.threshold


class LabelRates:
    """Rates of every task by day: days since 1970, or -1 where the day is not known."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self.days: dict[int, list[Rates]] = {}

    def add(self, batch: pa.RecordBatch, days: NDArray[np.int64]) -> None:
        """Take in N rows and their (N,) days."""
        distinct, place = np.unique(days, return_inverse=True)
        columns = [self._counts(task, batch, place, len(distinct)) for task in self._tasks]
        for position, day in enumerate(distinct.tolist()):
            before = self.days.setdefault(day, [Rates() for _ in self._tasks])
            self.days[day] = [old + rates[position] for old, rates in zip(before, columns, strict=True)]

    def merge(self, other: LabelRates) -> None:
        """Take in what another has counted."""
        for day, rates in other.days.items():
            before = self.days.setdefault(day, [Rates() for _ in self._tasks])
            self.days[day] = [old + new for old, new in zip(before, rates, strict=True)]

    @property
    def total(self) -> list[Rates]:
        """Rates of each task over all days."""
        return [sum((rates[k] for rates in self.days.values()), Rates()) for k in range(len(self._tasks))]

    @staticmethod
    def _counts(task: Task, batch: pa.RecordBatch, place: NDArray[np.int64], days: int) -> list[Rates]:
        column = plain(batch.column(task.label))
        known, labels = valid(column), np.nan_to_num(floats(column), nan=-1.0)
        inside = floats(plain(batch.column(task.space))) == 1 if task.space else np.ones(len(labels), np.bool_)
        binary = isinstance(task, BinaryTask)
        good = (labels == 0) | (labels == 1) if binary else (labels >= 0) & np.isfinite(labels)
        positive = labels > positive_above(task)
        masks = (np.ones(len(labels), np.bool_), known, known & inside, known & inside & positive)
        counts = [np.bincount(place, mask, days) for mask in masks]
        counts += [np.bincount(place, np.where(known & inside & good, labels, 0), days)]
        counts += [np.bincount(place, mask, days) for mask in (known & ~inside & (labels > 0), known & ~good)]
        whole = (int, int, int, int, float, int, int)
        return [Rates(*(kind(count[day]) for kind, count in zip(whole, counts, strict=True))) for day in range(days)]
