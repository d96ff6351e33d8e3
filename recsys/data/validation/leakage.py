"""Features that give a label away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.config import Task
from recsys.data.arrow import floats, plain, valid
from recsys.data.validation.findings import Findings
from recsys.data.validation.labels import positive_above
from recsys.evaluation.binary import auc

SUSPICIOUS = 0.98  # AUC of a single column
_FEWEST = 50  # labelled rows of each class without which an AUC says nothing
_SAMPLE = 100_000  # rows


class Leakage:
    """Compares every numeric feature column with every label: equality on all rows, and its AUC on evenly spread rows.

    stride: every stride-th row is sampled, `stride_for` of the split's rows.
    """

    def __init__(self, columns: Sequence[str], tasks: Sequence[Task], stride: int) -> None:
        self._columns, self._tasks, self._stride = list(columns), list(tasks), stride
        self._differ = np.zeros((len(columns), len(tasks)), np.int64)
        self._labelled = np.zeros(len(tasks), np.int64)
        self._positive = np.zeros(len(tasks), np.int64)
        self._samples: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in N rows."""
        labels = np.stack([_labels(task, batch) for task in self._tasks])
        known = ~np.isnan(labels)
        self._labelled += known.sum(1)
        self._positive += (labels > 0).sum(1)
        numbers = np.empty((len(self._columns), batch.num_rows), np.float32)
        for position, column in enumerate(self._columns):
            numbers[position] = floats(plain(batch.column(column)))
            self._differ[position] += ((numbers[position] != labels) & known).sum(1)
        self._samples.append((numbers[:, :: self._stride].copy(), labels[:, :: self._stride].copy()))

    def merge(self, other: Leakage) -> None:
        """Take in what another has seen."""
        self._differ += other._differ
        self._labelled += other._labelled
        self._positive += other._positive
        self._samples += other._samples

    def report(self, found: Findings) -> None:
        """Errors for columns that equal a label, warnings for those that alone order it almost rightly."""
        equal = (self._differ == 0) & (self._positive > 0) & (self._positive < self._labelled)
        for position, task in np.argwhere(equal):
            found.error(
                "leakage",
                f"column {self._columns[position]!r} equals the label {self._tasks[task].label!r} in each of "
                f"{self._labelled[task]:,} rows; leave the feature out",
            )
        self._report_order(found, equal)

    def _report_order(self, found: Findings, equal: NDArray[np.bool_]) -> None:
        if not self._samples:
            return
        numbers, labels = (np.concatenate(parts, axis=1) for parts in zip(*self._samples, strict=True))
        # An unknown value is lowest of all: also that a value is there may give a label away.
        numbers = np.where(np.isnan(numbers), -np.inf, numbers)
        for task, values in enumerate(labels):
            known = ~np.isnan(values)
            positive = values[known] > positive_above(self._tasks[task])
            if min(positive.sum(), (~positive).sum()) < _FEWEST:
                continue
            for position, column in enumerate(self._columns):
                score = auc(numbers[position][known], positive)
                if max(score, 1 - score) > SUSPICIOUS and not equal[position, task]:
                    found.warning(
                        "leakage",
                        f"column {column!r} alone orders the label {self._tasks[task].label!r} with AUC {score:.3f}; "
                        "make sure that it is known before the impression",
                    )


def stride_for(rows: int) -> int:
    """The distance of sampled rows in a split of so many rows."""
    return max(1, -(-rows // _SAMPLE))


def _labels(task: Task, batch: pa.RecordBatch) -> NDArray[np.float32]:
    """(N,) labels in the task's sample space, NaN elsewhere."""
    column = plain(batch.column(task.label))
    labels = np.where(valid(column), floats(column), np.nan)
    if task.space:
        labels = np.where(floats(plain(batch.column(task.space))) == 1, labels, np.nan)
    return labels.astype(np.float32)
