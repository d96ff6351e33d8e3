"""Each task against each other: what an entry gives to one and takes from another, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recsys.evaluation.trade_offs import pareto_front
from recsys.study.analysis.pareto import upwards
from recsys.study.figures.style import BETTER, DOUBT, INK, MUTED, finish, named
from recsys.study.findings import Entry, Group, StudyTask

ALL_PAIRS = 3  # tasks up to which each pair has a panel; with more, the first against each other
ALWAYS_NAMED = ("equal", "tuned", "single")
ALL_NAMED = 16  # entries up to which the others are named too
_PLACES = ((6, -3), (-6, -3), (0, 5), (0, -12), (5, 3), (-5, 3), (5, -9), (-5, -9))  # of a name, in points from its mark


def draw_trade_offs(group: Group, tasks: Sequence[StudyTask]) -> Figure | None:
    """A panel a pair of tasks, on which better is up and to the right. None with a single task or entry."""
    entries = [entry for entry in group.entries if all(not math.isnan(entry.test[task.name].mean) for task in tasks)]
    if len(tasks) < 2 or len(entries) < 2:
        return None
    pairs = list(combinations(tasks, 2)) if len(tasks) <= ALL_PAIRS else [(tasks[0], other) for other in tasks[1:]]
    columns = min(2, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(0.6 + 4.3 * columns, 0.4 + 4.0 * rows), layout="constrained", dpi=120)
    panels = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(panels.flat):
        axes.set_visible(place < len(pairs))
    for axes, pair in zip(panels.flat, pairs, strict=False):
        _panel(axes, entries, *pair)
    figure.draw_without_rendering()  # the layout, by which names are placed
    for axes, pair in zip(panels.flat, pairs, strict=False):
        _name(axes, entries, *pair)
    return figure


def _panel(axes: Axes, entries: Sequence[Entry], across: StudyTask, along: StudyTask) -> None:
    for entry in sorted(entries, key=lambda entry: entry.on_front):
        x, y = entry.test[across.name], entry.test[along.name]
        colour = BETTER if entry.on_front else DOUBT
        deviations = [spread.deviation if not math.isnan(spread.deviation) else 0.0 for spread in (x, y)]
        axes.errorbar(x.mean, y.mean, xerr=deviations[0], yerr=deviations[1], color=colour, linewidth=0.6, alpha=0.35)
        axes.plot(x.mean, y.mean, "o", color=colour, markersize=5, markerfacecolor=colour if entry.on_front else "none")
    points = sorted((entry.test[across.name].mean, entry.test[along.name].mean) for entry in _front(entries, (across, along)))
    axes.plot([x for x, _ in points], [y for _, y in points], color=INK, linewidth=0.9, linestyle="--", zorder=1)
    for task, axis in ((across, axes.xaxis), (along, axes.yaxis)):
        axis.set_inverted(not task.higher_is_better)
        axis.set_label_text(f"{named(task.name)} {task.metric}{'' if task.higher_is_better else ' (lower is better)'}")
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=5)
    finish(axes)


def _front(entries: Sequence[Entry], pair: tuple[StudyTask, StudyTask]) -> list[Entry]:
    """Those that no other beats on these two tasks."""
    on_it = pareto_front(upwards(entries, pair))
    return [entry for entry, best in zip(entries, on_it.tolist(), strict=True) if best]


def _name(axes: Axes, entries: Sequence[Entry], across: StudyTask, along: StudyTask) -> None:
    """Names, those of this front and of what all are compared with first, where they cover neither points nor others; the table has all."""
    places = {entry.name: axes.transData.transform((entry.test[across.name].mean, entry.test[along.name].mean)) for entry in entries}
    scale = axes.figure.dpi / 72
    half = 3 * scale
    taken = [(x - half, y - half, x + half, y + half) for x, y in places.values()]
    window = axes.get_window_extent()
    front = _front(entries, (across, along))
    first = [entry for entry in entries if entry in front or entry.strategy in ALWAYS_NAMED]
    others = [entry for entry in entries if entry not in first] if len(entries) <= ALL_NAMED else []
    for entry in [*sorted(first, key=lambda entry: entry.strategy not in ALWAYS_NAMED), *others]:
        text, (x, y) = named(entry.name, 22), places[entry.name]
        for right, up in _PLACES:
            side = "left" if right > 0 else "right" if right < 0 else "center"
            box = _box(x + right * scale, y + up * scale, len(text), side, scale)
            inside = box[0] >= window.x0 and box[2] <= window.x1 and box[1] >= window.y0 and box[3] <= window.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text,
                    (entry.test[across.name].mean, entry.test[along.name].mean),
                    xytext=(right, up),
                    textcoords="offset points",
                    ha=side,
                    va="bottom",
                    fontsize=7.5,
                    color=INK if entry.on_front else MUTED,
                )
                break


def _box(x: float, y: float, characters: int, side: str, scale: float) -> tuple[float, float, float, float]:
    width, height = 5.0 * characters * scale, 9 * scale
    left = x if side == "left" else x - width if side == "right" else x - width / 2
    return left, y, left + width, y + height


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
