"""The figures of a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from matplotlib.figure import Figure

from recsys.study.figures.intervals import draw_delta_m
from recsys.study.figures.ranks import draw_ranks
from recsys.study.figures.style import svg, write_png
from recsys.study.figures.trade_offs import draw_trade_offs
from recsys.study.figures.weights import Course, course, draw_weights
from recsys.study.findings import Findings, Group

__all__ = ["Course", "course", "drawn", "svg", "write_figures"]

Courses = Mapping[str, Mapping[str, Course]]
"""By architecture and entry."""


def drawn(findings: Findings, group: Group, courses: Courses) -> Iterator[tuple[str, Figure]]:
    """A group's figures by name: `delta_m`, `trade_offs`, `weights`, `ranks`; without those that it has nothing for."""
    tasks = [task.name for task in findings.tasks]
    figures = {
        "delta_m": draw_delta_m(group),
        "trade_offs": draw_trade_offs(group, findings.tasks),
        "weights": draw_weights(group.architecture, courses.get(group.architecture, {}), tasks),
        "ranks": draw_ranks(group),
    }
    yield from ((name, figure) for name, figure in figures.items() if figure is not None)


def write_figures(findings: Findings, courses: Courses, folder: Path) -> list[Path]:
    """Write `NAME.png`, or `NAME-ARCHITECTURE.png` where there are several, into `folder`. The files written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for group in findings.groups:
        suffix = f"-{group.architecture}" if len(findings.groups) > 1 else ""
        for name, figure in drawn(findings, group, courses):
            paths.append(folder / f"{name}{suffix}.png")
            write_png(figure, paths[-1])
    return paths
