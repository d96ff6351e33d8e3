"""The critical-difference diagram of mean ranks."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from recsys.study.figures.style import INK, MUTED, named
from recsys.study.findings import Group, Ranking


def draw_ranks(group: Group) -> Figure | None:
    """Demšar's diagram: better ranks on the left; a bar joins entries that can't be told apart. None where fewer than two are ranked."""
    ranking = group.ranking
    if math.isnan(ranking.critical_difference):
        return None
    half = math.ceil(len(ranking.entries) / 2)
    top = 1.6 + 0.28 * len(ranking.alike)
    figure = Figure(figsize=(9, 0.9 + 0.23 * (top + half)), layout="constrained", dpi=120)
    axes = figure.subplots()
    count = len(ranking.entries)
    room = 0.55 * max(count - 1, 1)
    axes.set_xlim(1 - room, count + room)
    axes.set_ylim(top + half + 0.3, -2.6)
    axes.axis("off")
    _axis(axes, count, ranking)
    for level, members in enumerate(ranking.alike):
        ranks = [ranking.mean_ranks[ranking.entries.index(name)] for name in members]
        pad = 0.008 * count
        axes.plot([min(ranks) - pad, max(ranks) + pad], [0.5 + 0.28 * level] * 2, color=INK, linewidth=3, solid_capstyle="butt")
    _names(axes, ranking, half, top, room)
    title = f"{named(group.architecture)}: mean ranks over {ranking.blocks} blocks of task and seed, 1 is best"
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    return figure


def _axis(axes: Axes, count: int, ranking: Ranking) -> None:
    axes.plot([1, count], [0, 0], color=INK, linewidth=1)
    step = max(1, round(count / 10))
    for tick in {1, count, *range(1, count - step // 2, step)}:
        axes.plot([tick, tick], [0, -0.25], color=INK, linewidth=1)
        axes.text(tick, -0.4, f"{tick}", ha="center", va="bottom", fontsize=8, color=MUTED)
    axes.plot([1, 1 + ranking.critical_difference], [-1.9, -1.9], color=INK, linewidth=1.5)
    label = f"critical difference {ranking.critical_difference:.2f}"
    axes.text(1 + ranking.critical_difference, -1.9, f"  {label}", ha="left", va="center", fontsize=8, color=INK)


def _names(axes: Axes, ranking: Ranking, half: int, top: float, room: float) -> None:
    """The better half on the left from the top down, the other on the right, the worst on top: no line crosses another."""
    order = sorted(range(len(ranking.entries)), key=lambda place: ranking.mean_ranks[place])
    for position, place in enumerate(order):
        rank, left = ranking.mean_ranks[place], position < half
        level = top + (position if left else len(order) - 1 - position)
        end = 1 - 0.06 * room if left else len(order) + 0.06 * room
        axes.plot([rank, rank, end], [0, level, level], color=MUTED, linewidth=0.8)
        text = f"{named(ranking.entries[place], 26)}  {rank:.1f}" if left else f"{rank:.1f}  {named(ranking.entries[place], 26)}"
        axes.text(end + (-0.02 if left else 0.02) * room, level, text, ha="right" if left else "left", va="center", fontsize=8, color=INK)
