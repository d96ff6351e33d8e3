"""Panels: charts with two axes, 340 wide at most, so that their text has the page's size on a phone too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from recsys.evaluation.comparison import Curve, TradeOff
from recsys.evaluation.page.svg import SHAPES, Scale, element, marker, tick_labels

WIDTH, HEIGHT = 340, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 8, 42

Series = Sequence[tuple[int, Curve]]
"""Curves with the number of their candidate, which is that of its colour."""


@dataclass
class Panel:
    """Axes with names; `marks` are drawn over them in order."""

    x: Scale
    y: Scale
    x_name: str
    y_name: str
    label: str
    marks: list[Markup] = field(default_factory=list)
    _numbers: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    def over(cls, x: tuple[float, float], y: tuple[float, float], x_name: str, y_name: str, label: str) -> Panel:
        """Axes over the ranges `x` and `y`."""
        return cls(Scale(*_wide(x), _LEFT, WIDTH - _RIGHT), Scale(*_wide(y), HEIGHT - _BOTTOM, _TOP), x_name, y_name, label)

    def line(self, x: Sequence[float], y: Sequence[float], style: str) -> None:
        """A line through the finite points."""
        points = [f"{self.x(a):.1f} {self.y(b):.1f}" for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
        if points:
            self.marks.append(element("path", class_=style, d="M" + "L".join(points)))

    def number(self, number: int, x: float, y: float, others: Sequence[tuple[float, float]]) -> None:
        """A number beside the point (x, y), where it covers neither another number nor a point of `others`; none where there is no room."""
        points = [(self.x(a), self.y(b)) for a, b in others]
        for right, down in ((7, -4), (7, 12), (-20, -4), (-20, 12)):
            left, base = self.x(x) + right, self.y(y) + down
            free = all(abs(left - a) > 14 or abs(base - b) > 10 for a, b in self._numbers)
            if free and not any(left - 4 < a < left + 16 and base - 12 < b < base + 4 for a, b in points):
                self._numbers.append((left, base))
                self.marks.append(element("text", number, class_="number", x=left, y=base))
                return

    def draw(self) -> Markup:
        """The panel as one element."""
        return element(
            "svg", *self._axes(), *self.marks, class_="panel", role="img", aria_label=self.label, viewBox=f"0 0 {WIDTH} {HEIGHT}"
        )

    def _axes(self) -> list[Markup]:
        bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
        parts, x_ticks, y_ticks = [], self.x.ticks(4), self.y.ticks(4)
        for tick, text in zip(x_ticks, tick_labels(x_ticks), strict=True):
            parts.append(element("line", class_="grid", x1=self.x(tick), x2=self.x(tick), y1=_TOP, y2=bottom))
            parts.append(element("text", text, class_="tick", x=self.x(tick), y=bottom + 16, text_anchor="middle"))
        for tick, text in zip(y_ticks, tick_labels(y_ticks), strict=True):
            parts.append(element("line", class_="grid", x1=_LEFT, x2=right, y1=self.y(tick), y2=self.y(tick)))
            parts.append(element("text", text, class_="tick", x=_LEFT - 6, y=self.y(tick) + 4, text_anchor="end"))
        parts.append(element("text", self.x_name, class_="axis", x=(_LEFT + right) / 2, y=HEIGHT - 8, text_anchor="middle"))
        middle = (_TOP + bottom) / 2
        turn = f"rotate(-90 12 {middle:.0f})"
        parts.append(element("text", self.y_name, class_="axis", x=12, y=middle, text_anchor="middle", transform=turn))
        return parts


def roc(task: str, curves: Series) -> Markup:
    """True against false positive rate."""
    panel = Panel.over((0, 1), (0, 1), "false positive rate", "true positive rate", f"ROC curves of {task}")
    panel.line((0, 1), (0, 1), "diagonal")
    for series, curve in curves:
        panel.line(curve.x, curve.y, f"line s{series % SHAPES}")
    return panel.draw()


def calibration(task: str, kind: str, curves: Series) -> Markup:
    """What was observed against what was predicted, in bins; a perfect candidate lies on the diagonal."""
    right = max(_finite(value for _, curve in curves for value in curve.x), default=1.0)
    top = max(_finite(value for _, curve in curves for value in (*curve.y, *curve.high)), default=1.0)
    observed = "share of positives" if kind == "binary" else "mean observed"
    panel = Panel.over((0, right * 1.04), (0, top * 1.04), "mean prediction", observed, f"Calibration curves of {task}")
    panel.line((0, min(right, top)), (0, min(right, top)), "diagonal")
    for series, curve in curves:
        style = f"s{series % SHAPES}"
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=False):
            panel.line((x, x), (low, high), f"errorbar {style}")
        panel.line(curve.x, curve.y, f"line thin {style}")
        panel.marks += [
            marker(panel.x(x), panel.y(y), series, size=3)
            for x, y in zip(curve.x, curve.y, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
    return panel.draw()


def scores(task: str, curves: Series) -> Markup:
    """Shares of rows in bins of the prediction, as steps."""
    edges = _finite(edge for _, curve in curves for edge in curve.x)
    tallest = max(_finite(share for _, curve in curves for share in curve.y), default=1.0)
    across = (min(edges, default=0.0), max(edges, default=1.0))
    panel = Panel.over(across, (0, tallest * 1.05), "prediction", "share of rows", f"Distribution of the predictions of {task}")
    for series, curve in curves:
        x = [edge for edge in curve.x for _ in range(2)]
        y = [0.0, *(share for share in curve.y for _ in range(2)), 0.0]
        panel.line(x, y, f"line s{series % SHAPES}")
    return panel.draw()


def trade_off(x: str, y: str, points: Sequence[tuple[int, int, TradeOff]]) -> Markup:
    """Objective `x` against `y` of numbered points, each with its candidate's number; those on the front are filled and numbered."""
    shown = [point for point in points if all(math.isfinite(point[2].values.get(name, math.nan)) for name in (x, y))]
    across, along = (Scale.around((point.values[name] for _, _, point in shown), margin=0.1) for name in (x, y))
    panel = Panel.over((across.first, across.last), (along.first, along.last), x, y, f"Trade-off between {x} and {y}")
    for _, series, point in sorted(shown, key=lambda item: item[2].on_front):
        panel.marks.append(marker(panel.x(point.values[x]), panel.y(point.values[y]), series, hollow=not point.on_front))
    places = [(point.values[x], point.values[y]) for _, _, point in shown]
    for number, _, point in shown:
        if point.on_front:
            panel.number(number, point.values[x], point.values[y], places)
    return panel.draw()


def _finite(values: object) -> list[float]:
    return [value for value in values if math.isfinite(value)]  # type: ignore[attr-defined]


def _wide(ends: tuple[float, float]) -> tuple[float, float]:
    return ends if ends[1] > ends[0] else (ends[0] - 0.5, ends[0] + 0.5)
