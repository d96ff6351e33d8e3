"""Delta-m of every entry with its interval."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from recsys.study.figures.style import BETTER, DOUBT, INK, MUTED, WORSE, finish, named
from recsys.study.findings import DELTA_M, Group

COMPARED_WITH = ("equal", "tuned")
_COLOURS = {"better": BETTER, "worse": WORSE, "inconclusive": DOUBT}
_MARKS = {"better": "^", "worse": "v", "inconclusive": "D"}


def draw_delta_m(group: Group) -> Figure | None:
    """From the highest mean down; None where there is no reference. Colour and marker tell who differs from the reference beyond doubt."""
    entries = [entry for entry in group.entries if not math.isnan(entry.delta_m.value) and entry.name != group.reference]
    if not entries or group.reference is None:
        return None
    entries.sort(key=lambda entry: entry.delta_m.value)
    figure = Figure(figsize=(8, 1.3 + 0.24 * len(entries)), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=1)
    for place, entry in enumerate(entries):
        part = group.difference(entry.name, group.reference, DELTA_M)
        verdict = "inconclusive" if part is None else part.verdict
        found = entry.delta_m
        if not math.isnan(found.low):
            axes.plot([found.low, found.high], [place, place], color=_COLOURS[verdict], linewidth=1.6, solid_capstyle="butt")
        axes.plot(found.value, place, _MARKS[verdict], color=_COLOURS[verdict], markersize=5)
    axes.set_yticks(range(len(entries)), [named(entry.name) for entry in entries])
    axes.set_ylim(-0.7, len(entries) - 0.3)
    axes.set_xlabel(f"delta-m to {named(group.reference)}, %: mean over seeds, 95 % interval of seeds and rows")
    finish(axes, f"{group.architecture}: mean relative gain over the tasks")
    axes.tick_params(axis="y", colors=INK)
    for label, entry in zip(axes.get_yticklabels(), entries, strict=True):
        label.set_fontweight("bold" if entry.strategy in COMPARED_WITH else "normal")
    axes.grid(visible=False, axis="y")
    note = "coloured: beyond doubt, after correction          better →"
    axes.annotate(note, (1, 1.005), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=MUTED)
    return figure
