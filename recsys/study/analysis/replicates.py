"""Metrics of many runs in the bootstrap's replicates, which are the same for all of them, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.bootstrap import poisson_weights
from recsys.evaluation.compare.table import TaskRows
from recsys.evaluation.delong import compare_aucs
from recsys.evaluation.groups import compact

BATCH_NUMBERS = 1 << 24  # float64 numbers of runs' sums over clusters that are held at a time: 128 MiB
_BLOCK = 64  # replicates that are weighed together, at most


class Columns(NamedTuple):
    """What a replicate of a run's metric is computed from: its value on all rows, and (u, c) sums over clusters that are weighed.

    finish: from the (r, c) weighed sums, and the value, to the metric in r replicates.
    """

    value: float
    sums: NDArray[np.float64]
    finish: Callable[[float, NDArray[np.float64]], NDArray[np.float64]]


class Resampled(NamedTuple):
    """A run's deciding metric on all rows, and in (r,) replicates."""

    value: float
    replicates: NDArray[np.float64]


def columns_of(rows: TaskRows, clusters: int) -> Columns:
    """Of the one run of `rows`, in its task's deciding metric; `clusters` is how many there are in all.

    An AUC is expanded to the first order in the weights: each cluster's influence is DeLong's (`compare_aucs`), so that a replicate is
    a product instead of a pass over sorted rows. What is left out is smaller than the deviation by the root of the clusters. A
    duration's error is exact.
    """
    (scores,) = rows.scores.values()
    if rows.task.kind == "binary":
        aucs = compare_aucs([scores], rows.positive, rows.clusters)
        sums = np.zeros((clusters, 1))
        sums[compact(rows.clusters)[0]] = aucs.positive + aucs.negative
        return Columns(float(aucs.aucs[0]), sums, _of_influences)
    squares = np.square(np.log1p(scores.astype(np.float64)) - np.log1p(rows.labels.astype(np.float64)))
    parts = [np.bincount(rows.clusters, weights, clusters) for weights in (np.ones(squares.size), squares)]
    return Columns(float(np.sqrt(squares.mean())), np.stack(parts, axis=1), _of_squares)


def resample(runs: Iterable[Columns], clusters: int, replicates: int, seed: int = 0) -> Iterator[Resampled]:
    """Each run in its turn. The weights are those of `bootstrap` with this seed, so that differences of runs are paired."""
    waiting = iter(runs)
    size = max(1, BATCH_NUMBERS // (2 * max(1, clusters)))
    while batch := list(islice(waiting, size)):
        weighed = _weigh(batch, clusters, replicates, seed)
        start = 0
        for run in batch:
            end = start + run.sums.shape[1]
            yield Resampled(run.value, run.finish(run.value, weighed[:, start:end]))
            start = end


def _weigh(batch: Sequence[Columns], clusters: int, replicates: int, seed: int) -> NDArray[np.float64]:
    """(r, columns of the batch) sums under each replicate's weights."""
    table = np.concatenate([run.sums for run in batch], axis=1)
    weighed = np.empty((replicates, table.shape[1]))
    block = min(_BLOCK, max(1, BATCH_NUMBERS // max(1, clusters)))
    for start in range(0, replicates, block):
        numbers = range(start, min(replicates, start + block))
        weights = np.stack([poisson_weights(clusters, seed, number) for number in numbers])
        weighed[numbers.start : numbers.stop] = weights.astype(np.float64) @ table
    return weighed


def _of_influences(value: float, weighed: NDArray[np.float64]) -> NDArray[np.float64]:
    return value + weighed[:, 0]  # influences sum to 0, so that weights and weights - 1 weigh them alike


def _of_squares(value: float, weighed: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(weighed[:, 1] / weighed[:, 0])
