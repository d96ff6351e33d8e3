"""Curves of a candidate's scores, thinned to what a page can show. Of several runs the first stands for all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.compare.table import TaskRows
from recsys.evaluation.comparison import Curve
from recsys.evaluation.order import order_keys, sort_rows
from recsys.evaluation.tally import BINS, equal_mass_bins, tally

POINTS = 200  # of an ROC curve
EDGES = 51  # of a histogram
_Z = 1.959963984540054  # the normal's 97.5 % point


def curves_of(rows: TaskRows, runs: Sequence[tuple[str, str]]) -> list[Curve]:
    """ROC and calibration curves and score distributions of (candidate, run) pairs on one task."""
    edges = _edges([rows.scores[run] for _, run in runs], rows.task.kind)
    found = []
    for candidate, run in runs:
        scores = rows.scores[run]
        if not scores.size:
            continue
        found.append(_roc(candidate, rows, scores))
        found.append(_calibration(candidate, rows, scores) if rows.task.kind == "binary" else _means(candidate, rows, scores))
        found.append(_histogram(candidate, rows, scores, edges))
    return [curve for curve in found if curve is not None]


def _roc(candidate: str, rows: TaskRows, scores: NDArray[np.float32]) -> Curve | None:
    found = tally(scores, rows.positive)
    true, false = (np.concatenate([[0], np.cumsum(part[::-1])]) for part in (found.positives, found.negatives))
    if not true[-1] or not false[-1]:
        return None
    at = (
        np.unique(np.linspace(0, true.size - 1, POINTS).astype(int))
        if true.size <= POINTS
        else _evenly(true / true[-1] + false / false[-1])
    )
    return Curve(kind="roc", candidate=candidate, task=rows.task.name, x=(false[at] / false[-1]).tolist(), y=(true[at] / true[-1]).tolist())


def _evenly(length: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places at even distances along the curve, from its first point to its last."""
    return np.unique(np.searchsorted(length, np.linspace(0, length[-1], POINTS)))


def _calibration(candidate: str, rows: TaskRows, scores: NDArray[np.float32]) -> Curve:
    """Mean prediction against share of positives, with Wilson's interval (JASA 1927)."""
    bins = equal_mass_bins([tally(scores, rows.positive)], scores.size, BINS)
    filled = bins.rows > 0
    count, share = bins.rows[filled], bins.positives[filled] / bins.rows[filled]
    centre = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    return Curve(
        kind="calibration",
        candidate=candidate,
        task=rows.task.name,
        x=(bins.predicted[filled] / count).tolist(),
        y=share.tolist(),
        low=np.maximum(centre - half, 0).tolist(),
        high=np.minimum(centre + half, 1).tolist(),
        rows=count.tolist(),
    )


def _means(candidate: str, rows: TaskRows, scores: NDArray[np.float32]) -> Curve:
    """Mean predicted against mean observed seconds in bins of equal mass, with the normal interval of a mean."""
    order = sort_rows(order_keys(scores))[1]
    parts = [part for part in np.array_split(order, BINS) if part.size > 1]
    observed = [rows.labels[part].astype(np.float64) for part in parts]
    means = [float(part.mean()) for part in observed]
    halves = [_Z * float(part.std(ddof=1)) / math.sqrt(part.size) for part in observed]
    return Curve(
        kind="calibration",
        candidate=candidate,
        task=rows.task.name,
        x=[float(scores[part].mean(dtype=np.float64)) for part in parts],
        y=means,
        low=[mean - half for mean, half in zip(means, halves, strict=True)],
        high=[mean + half for mean, half in zip(means, halves, strict=True)],
        rows=[part.size for part in parts],
    )


def _edges(scores: Sequence[NDArray[np.float32]], kind: str) -> NDArray[np.float64]:
    """Edges of bins that all candidates share: over what all but the highest hundredth of their scores span."""
    highest = max((float(np.quantile(part, 0.99)) for part in scores if part.size), default=1.0)
    return np.linspace(0, min(highest, 1.0) if kind == "binary" else highest, EDGES) if highest > 0 else np.linspace(0, 1, EDGES)


def _histogram(candidate: str, rows: TaskRows, scores: NDArray[np.float32], edges: NDArray[np.float64]) -> Curve:
    """Shares of all rows; scores above the last edge count in the last bin."""
    counts = np.histogram(np.minimum(scores, edges[-1]), edges)[0]
    return Curve(kind="scores", candidate=candidate, task=rows.task.name, x=edges.tolist(), y=(counts / scores.size).tolist())
