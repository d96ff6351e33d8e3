"""Every metric of every run on some rows of a task: its value, its bootstrap statistic, and the covariance of the AUCs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.bootstrap import Statistic
from recsys.evaluation.compare.table import TaskRows
from recsys.evaluation.comparison import Slice
from recsys.evaluation.delong import AucComparison, compare_aucs
from recsys.evaluation.duration import bucketed_metrics, duration_buckets, duration_metrics, errors
from recsys.evaluation.groups import GroupValues, group_auc, group_mean, group_ndcg, group_recall
from recsys.evaluation.tally import ranked_metrics, tally
from recsys.evaluation.weighted import Together, binary_statistic, group_statistic
from recsys.evaluation.weighted_duration import duration_statistic, squared_errors

COUNTS = ("rows", "positives")


@dataclass(frozen=True)
class Within:
    """Columns that some metrics need: (n,) codes of requests and the places k, (n,) durations of the items; None where not named."""

    requests: NDArray[np.int32] | None = None
    places: tuple[int, ...] = (10,)
    durations: NDArray[np.float64] | None = None
    grouped: bool = True

    def of(self, rows: NDArray[np.int64]) -> Within:
        """The same of some rows."""
        requests = None if self.requests is None else self.requests[rows]
        return Within(requests, self.places, None if self.durations is None else self.durations[rows], self.grouped)


@dataclass(frozen=True)
class Measured:
    """What was measured on the rows of a task, or of a slice of it.

    values: by run and metric. statistics: by run, of metrics whose intervals are bootstrapped. aucs: of the runs in their order.
    left_out: groups without a value, by metric.
    """

    task: str
    slice: Slice | None
    rows: int
    positives: int
    groups: int
    values: dict[str, dict[str, float]]
    statistics: dict[str, Statistic]
    aucs: AucComparison
    left_out: dict[str, int]

    @property
    def metrics(self) -> list[str]:
        """Those measured, without the counts."""
        return [name for name in next(iter(self.values.values())) if name not in COUNTS]


def measure(rows: TaskRows, within: Within) -> Measured:
    """Everything, on all rows of a task."""
    values: dict[str, dict[str, float]] = {}
    statistics: dict[str, Statistic] = {}
    left_out: dict[str, int] = {}
    for run, scores in rows.scores.items():
        if rows.task.kind == "binary":
            groups = _groups(scores, rows, within)
            means = {name: group_mean(group) for name, (group, _) in groups.items()}
            values[run] = _binary(scores, rows) | {name: mean.value for name, mean in means.items()}
            left_out = {name: mean.left_out for name, mean in means.items()}
            by_group = [group_statistic(name, group, clusters) for name, (group, clusters) in groups.items()]
            statistics[run] = Together([binary_statistic(scores, rows.positive, rows.clusters), *by_group])
        else:
            buckets = None if within.durations is None else duration_buckets(within.durations)
            values[run] = duration_metrics(scores, rows.labels, rows.task.threshold)
            if buckets is not None:
                values[run] |= bucketed_metrics(scores, rows.labels, buckets)
            statistics[run] = duration_statistic(scores, rows.labels, rows.task.threshold, rows.clusters, buckets)
    return _measured(rows, None, values, statistics, left_out)


def measure_slice(rows: TaskRows, place: Slice) -> Measured:
    """The deciding metrics on a slice: the AUC, and a duration's error."""
    aucs = compare_aucs(list(rows.scores.values()), rows.positive, rows.clusters)
    values = {run: {"auc": float(auc)} for run, auc in zip(rows.scores, aucs.aucs, strict=True)}
    statistics: dict[str, Statistic] = {}
    if rows.task.kind == "duration":
        for run, scores in rows.scores.items():
            values[run] = {"rmse_log1p": errors(scores, rows.labels)["rmse_log1p"]} | values[run]
            statistics[run] = squared_errors(scores, rows.labels, rows.clusters)
    return _measured(rows, place, values, statistics, {}, aucs)


def _measured(
    rows: TaskRows,
    place: Slice | None,
    values: dict[str, dict[str, float]],
    statistics: dict[str, Statistic],
    left_out: dict[str, int],
    aucs: AucComparison | None = None,
) -> Measured:
    return Measured(
        task=rows.task.name,
        slice=place,
        rows=rows.labels.size,
        positives=int(np.count_nonzero(rows.positive)),
        groups=int(np.unique(rows.clusters).size),
        values=values,
        statistics=statistics,
        aucs=aucs or compare_aucs(list(rows.scores.values()), rows.positive, rows.clusters),
        left_out=left_out,
    )


def _binary(scores: NDArray[np.float32], rows: TaskRows) -> dict[str, float]:
    return ranked_metrics([tally(scores, rows.positive)], scores.size, int(np.count_nonzero(rows.positive)))


def _groups(scores: NDArray[np.float32], rows: TaskRows, within: Within) -> dict[str, tuple[GroupValues, NDArray[np.int32]]]:
    """Metrics of groups by name, and each group's cluster."""
    found: dict[str, tuple[GroupValues, NDArray[np.int32]]] = {}
    if within.grouped:
        users = group_auc(scores, rows.positive, rows.clusters)
        found["gauc"] = users, users.codes.astype(np.int32)
    if within.requests is not None:
        cluster_of = np.zeros(int(within.requests.max(initial=0)) + 1, np.int32)
        cluster_of[within.requests] = rows.clusters
        for k in within.places:
            for name, metric in (("recall", group_recall), ("ndcg", group_ndcg)):
                groups = metric(k, scores, rows.positive, within.requests)
                found[f"{name}@{k}"] = groups, cluster_of[groups.codes]
    return found
