"""The tasks' weights over the steps: a small panel for each entry, all on one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from recsys.study.figures.style import INK, MUTED, finish, named
from recsys.tracking.figures import COLOURS, DASHES, far_apart

POINTS = 100  # of a curve


class Course(NamedTuple):
    """An entry's weights over time: (t,) steps, and (t, K) mean, lowest and highest over its seeds."""

    steps: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def course(runs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> Course:
    """Over seeds, on as many points as `POINTS`: each run's (t,) steps and (t, K) weights are averaged within blocks of steps."""
    last = min(float(steps[-1]) for steps, _ in runs)
    edges = np.linspace(min(float(steps[0]) for steps, _ in runs), last, min(POINTS, *(len(steps) for steps, _ in runs)) + 1)
    blocks = np.array([_means(steps, weights, edges) for steps, weights in runs])
    return Course((edges[1:] + edges[:-1]) / 2, blocks.mean(0), blocks.min(0), blocks.max(0))


def draw_weights(architecture: str, courses: Mapping[str, Course], tasks: Sequence[str], columns: int = 4) -> Figure | None:
    """None where no entry has weights."""
    if not courses:
        return None
    columns = min(columns, len(courses))
    rows = math.ceil(len(courses) / columns)
    figure = Figure(figsize=(max(4.5, 2.3 * columns), 0.8 + 1.5 * rows), layout="constrained", dpi=120)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(panels.flat):
        if place >= len(courses):
            axes.set_visible(False)
    drawn = [bound for part in courses.values() for bound in (part.low.min(), part.high.max())]
    if far_apart(min(drawn), max(drawn)):
        panels.flat[0].set_yscale("log")  # of all: the axis is shared
    for axes, (name, part) in zip(panels.flat, courses.items(), strict=False):
        axes.axhline(1, color=MUTED, linewidth=0.8, linestyle=":")
        for task in range(len(tasks)):
            colour, dash = COLOURS[task % len(COLOURS)], DASHES[task % len(DASHES)]
            axes.fill_between(part.steps, part.low[:, task], part.high[:, task], color=colour, alpha=0.18, linewidth=0)
            axes.plot(part.steps, part.mean[:, task], color=colour, linestyle=dash, linewidth=1.3, label=named(tasks[task]))
        finish(axes, name, longest=22)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for axes in panels[-1]:
        axes.set_xlabel("step")
    for axes in panels[:, 0]:
        axes.set_ylabel("weight")
    handles, labels = panels.flat[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside upper center", ncols=min(6, len(tasks)), frameon=False, fontsize=8, labelcolor=INK)
    legend.set_title(f"{named(architecture)}: weights, mean over seeds; band: lowest to highest")
    legend.get_title().set(color=INK, fontsize=9)
    return figure


def _means(steps: NDArray[np.float64], weights: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(b, K) means of (t, K) weights within b blocks of steps; an empty block has the value interpolated at its middle."""
    block = np.clip(np.searchsorted(edges, steps, "right") - 1, 0, edges.size - 2)
    inside = steps <= edges[-1]
    counts = np.bincount(block[inside], minlength=edges.size - 1)
    middles = (edges[1:] + edges[:-1]) / 2
    columns = []
    for column in weights.T:
        sums = np.bincount(block[inside], column[inside], edges.size - 1)
        columns.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.interp(middles, steps, column)))
    return np.array(columns).T
