from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from recsys.study.figures import course
from recsys.study.figures.weights import draw_weights as draw_study_weights
from recsys.tracking.figures import COLOURS, draw_auc, draw_equity, draw_losses, draw_weights, write_figures
from recsys.tracking.history import History

TASKS = ["ctr", "cvr", "dwell"]


def history(steps: int) -> History:
    random = np.random.default_rng(0)
    evaluations = [(10 * n, {f"{task}/auc": 0.5 + 0.01 * n * (k + 1) for k, task in enumerate(TASKS)}) for n in range(1, 5)]
    contributions = [[None] * 3, *(10 ** random.normal(size=(steps - 1, 3))).tolist()]
    cosines = [[None] * 3, *random.uniform(-1, 1, (steps - 1, 3)).tolist()]
    return History(TASKS, np.arange(steps), random.random((steps, 3)), random.random((steps, 3)), evaluations, contributions, cosines)


def drawn_colours(path: Path) -> set[str]:
    red, green, blue = np.round(imread(path)[..., :3] * 255).astype(int).reshape(-1, 3).T
    return {f"#{colour:06X}" for colour in np.unique(red << 16 | green << 8 | blue)}


@pytest.mark.parametrize("steps", [1, 2_000])
def test_figures_are_written_and_show_every_task(steps: int, tmp_path: Path) -> None:
    paths = write_figures(history(steps), tmp_path / "figures")
    equity = ["equity.png"] if steps > 1 else []
    assert [path.name for path in paths] == ["weights.png", "losses.png", *equity, "auc.png"]
    for path in paths if steps > 1 else paths[2:]:
        assert set(COLOURS[:3]) <= drawn_colours(path)


def test_axes_say_what_they_show() -> None:
    drawn = history(50)
    steps, values = np.asarray(drawn.steps, float), np.asarray(drawn.losses)
    (weights,) = draw_weights(TASKS, steps, values).axes
    assert (weights.get_xlabel(), weights.get_ylabel()) == ("step", "weight")
    assert weights.get_legend_handles_labels()[1] == TASKS
    assert [axes.get_title("left") for axes in draw_losses(TASKS, steps, values).axes] == [f"Loss of {task}" for task in TASKS]
    (auc,) = draw_auc(TASKS, drawn.evaluations).axes
    assert auc.get_legend_handles_labels()[1] == ["ctr  0.5400", "cvr  0.5800", "dwell  0.6200"]


@pytest.mark.parametrize(("smallest", "scale"), [(1e-4, "log"), (0.05, "linear"), (0.0, "linear"), (-1e-4, "linear")])
def test_weights_are_told_by_their_ratios_where_they_are_far_apart(smallest: float, scale: str) -> None:
    weights = np.array([[smallest, 0.5, 2.5], [0.25, 0.25, 2.5]])
    assert [axes.get_yscale() for axes in draw_weights(TASKS, np.arange(2.0), weights).axes] == [scale]
    parts = {"emtl": course([(np.arange(2.0), weights)]), "equal": course([(np.arange(2.0), np.ones((2, 3)))])}
    panels = draw_study_weights("mmoe", parts, TASKS)
    assert panels is not None and [axes.get_yscale() for axes in panels.axes if axes.get_visible()] == [scale] * 2


def test_equity_shows_contributions_on_a_logarithmic_axis_and_mean_cosines() -> None:
    contributions = np.array([[1.0, 10.0, 100.0], [2.0, 0.0, 50.0], [3.0, 30.0, 20.0]])
    axes, chart, _ = draw_equity(TASKS, np.arange(3.0), contributions, np.array([[0.5, -0.25, 0.0]] * 3)).axes
    assert axes.get_yscale() == "log" and [len(line.get_xdata()) for line in axes.lines] == [3, 2, 3]  # type: ignore[arg-type]
    expected = [[1, 0.5, -0.25], [0.5, 1, 0], [-0.25, 0, 1]]
    np.testing.assert_array_equal(chart.images[0].get_array(), expected)
    assert [label.get_text() for label in chart.get_xticklabels()] == TASKS


def test_a_long_history_is_drawn_as_means_within_its_range() -> None:
    drawn = history(3_000)
    (axes,) = draw_weights(TASKS, np.arange(3_000.0), np.asarray(drawn.weights)).axes
    curves = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_label() in TASKS]
    assert [len(curve) for curve in curves] == [300] * 3
    np.testing.assert_allclose(curves[1][0], np.asarray(drawn.weights)[:10, 1].mean())
    assert len(axes.collections) == 3


def test_nothing_noted_is_nothing_drawn(tmp_path: Path) -> None:
    assert write_figures(History(TASKS, [], np.empty((0, 3)), np.empty((0, 3)), []), tmp_path) == []
