"""Figures of a training: weights, losses, AUC. Drawn without a display and without matplotlib's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from recsys.tracking.history import History

# Okabe and Ito's colours, told apart with every kind of colour vision (Wong, Nature Methods 8, 441); yellow is too pale for lines.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
_POINTS = 300  # of a curve; longer histories are drawn as means, with the range in a lighter band


def write_figures(history: History, folder: Path) -> list[Path]:
    """Write `weights.png`, `losses.png`, `equity.png`, `auc.png` into `folder`; a figure without a point is left out. The files written."""
    folder.mkdir(parents=True, exist_ok=True)
    steps = np.asarray(history.steps, np.float64)
    figures: dict[str, Figure] = {}
    if steps.size:
        figures["weights"] = draw_weights(history.tasks, steps, np.asarray(history.weights, np.float64))
        figures["losses"] = draw_losses(history.tasks, steps, np.asarray(history.losses, np.float64))
    contributions, cosines = (np.array(values, np.float64) for values in (history.contributions, history.cosines))
    measured = np.isfinite(contributions).all(1) if contributions.size else np.zeros(0, bool)
    if measured.any() and len(history.tasks) > 1:
        figures["equity"] = draw_equity(history.tasks, steps[measured], contributions[measured], cosines[measured])
    if history.evaluations:
        figures["auc"] = draw_auc(history.tasks, history.evaluations)
    paths = []
    for name, figure in figures.items():
        paths.append(folder / f"{name}.png")
        FigureCanvasAgg(figure).print_png(paths[-1])
    return paths


def draw_weights(tasks: Sequence[str], steps: NDArray[np.float64], weights: NDArray[np.float64]) -> Figure:
    """The tasks' weights (S, K) over the steps, on one axis; a dotted line marks equal weights."""
    figure = Figure(figsize=(8, 4), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.axhline(1, color="0.4", linewidth=1, linestyle=":", zorder=1)
    axes.annotate("equal", (0, 1), xycoords=("axes fraction", "data"), xytext=(4, 3), textcoords="offset points", color="0.4", fontsize=8)
    for task, name in enumerate(tasks):
        _curve(axes, steps, weights[:, task], task, name)
    _finish(axes, "Weights of the tasks", "weight", legend=True, logarithmic=far_apart(weights.min(), weights.max()))
    return figure


def far_apart(lowest: float, highest: float) -> bool:
    """Whether weights are told by their ratios, on a logarithmic axis: all are positive, and more than a factor of 100 apart."""
    return 0 < 100 * lowest < highest


def draw_losses(tasks: Sequence[str], steps: NDArray[np.float64], losses: NDArray[np.float64]) -> Figure:
    """The tasks' losses (S, K) over the steps, on an axis each: their scales have nothing to do with each other."""
    figure = Figure(figsize=(8, 1.2 + 1.8 * len(tasks)), layout="constrained", dpi=120)
    rows = figure.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0]
    for task, (name, axes) in enumerate(zip(tasks, rows, strict=True)):
        _curve(axes, steps, losses[:, task], task, name)
        _finish(axes, f"Loss of {name}", "loss", last=task == len(tasks) - 1)
    return figure


def draw_equity(
    tasks: Sequence[str], steps: NDArray[np.float64], contributions: NDArray[np.float64], cosines: NDArray[np.float64]
) -> Figure:
    """The tasks' relative contributions (S, K) over the steps, and the mean over the steps of the cosines (S, pairs) as a map."""
    figure = Figure(figsize=(9, 4), layout="constrained", dpi=120)
    axes, chart = figure.subplots(1, 2, width_ratios=(2, 1))
    for task, name in enumerate(tasks):
        # A task that is absent from a step contributes 0, which a logarithmic axis can't show.
        shown = contributions[:, task] > 0
        _curve(axes, steps[shown], contributions[shown, task], task, name)
    _finish(axes, "Relative contributions: loss / gradient norm", "contribution", logarithmic=True)
    axes.legend(loc="best", frameon=False)
    _heat_map(figure, chart, tasks, cosines.mean(0))
    return figure


def _heat_map(figure: Figure, axes: Axes, tasks: Sequence[str], pairs: NDArray[np.float64]) -> None:
    """Cosines of each pair of tasks, in colours from -1 (conflict) to 1 and in numbers."""
    matrix = np.eye(len(tasks))
    rows, columns = np.triu_indices(len(tasks), 1)
    matrix[rows, columns] = matrix[columns, rows] = pairs
    image = axes.imshow(matrix, cmap="RdBu", vmin=-1, vmax=1)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(tasks)), tasks, rotation=45, ha="right")
    axes.set_yticks(range(len(tasks)), tasks)
    axes.set_title("Cosines of the gradients, mean", loc="left", fontsize=10)
    axes.spines[:].set_visible(False)
    figure.colorbar(image, ax=axes, shrink=0.7)


def draw_auc(tasks: Sequence[str], evaluations: Sequence[tuple[int, Mapping[str, float]]]) -> Figure:
    """The tasks' AUC on the valid split at each evaluation, with the last value in the legend."""
    figure = Figure(figsize=(8, 4), layout="constrained", dpi=120)
    axes = figure.subplots()
    steps = [step for step, _ in evaluations]
    for task, name in enumerate(tasks):
        values = [metrics.get(f"{name}/auc", np.nan) for _, metrics in evaluations]
        axes.plot(steps, values, **_style(task), marker="o", markersize=4, label=f"{name}  {values[-1]:.4f}")
    _finish(axes, "AUC on the valid split", "AUC", legend=True)
    return figure


def _curve(axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], task: int, name: str) -> None:
    style = _style(task)
    if steps.size > _POINTS:
        blocks = np.array_split(np.arange(steps.size), _POINTS)
        low, high = ([reduce(values[block]) for block in blocks] for reduce in (np.min, np.max))
        steps, values = (np.array([column[block].mean() for block in blocks]) for column in (steps, values))
        axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.plot(steps, values, **style, label=name)


def _style(task: int) -> dict[str, Any]:
    return {"color": COLOURS[task % len(COLOURS)], "linestyle": DASHES[task % len(DASHES)]}


def _finish(axes: Axes, title: str, quantity: str, *, legend: bool = False, last: bool = True, logarithmic: bool = False) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_ylabel(quantity)
    if last:
        axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    if logarithmic:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, borderaxespad=0)
