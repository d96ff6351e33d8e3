"""Strips: an interval on a line in a table's cell. Places are percentages, so that a strip takes any width and its text none of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from recsys.evaluation.page.svg import Scale, element, marker, tick_labels

HEIGHT = 34
_MIDDLE = HEIGHT / 2


def strip(
    scale: Scale,
    value: float,
    low: float,
    high: float,
    label: str,
    *,
    style: str,
    zero: float | None = None,
    margin: float = 0.0,
    dots: Sequence[float] = (),
) -> Markup:
    """A value with its interval; behind it the zone within `margin` of `zero`, and small `dots`. `style` is the class of its colour."""
    parts = _zone(scale, zero, margin) if zero is not None else []
    parts += [_rule("grid", scale(tick)) for tick in scale.ticks(4)]
    if zero is not None:
        parts.append(_rule("zero", scale(zero)))
    parts += [element("circle", class_="dot", cx=_percent(scale(dot)), cy=_MIDDLE, r=3) for dot in dots if math.isfinite(dot)]
    if not math.isnan(low) and not math.isnan(high):
        parts += _whisker(scale, low, high, style)
    if math.isfinite(value):
        parts.append(element("circle", class_=f"point {style}", cx=_percent(scale(value)), cy=_MIDDLE, r=5))
    return element("svg", *parts, class_="strip", role="img", aria_label=label, width="100%", height=HEIGHT)


def axis(scale: Scale) -> Markup:
    """The scale's ticks and their numbers, for the head of a column of strips. Every second number from 0 is for wide pages alone."""
    ticks = scale.ticks(4)
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    texts = [
        element(
            "text",
            text,
            class_="tick wide" if round(tick / step) % 2 else "tick",
            x=_percent(scale(tick)),
            y=11,
            text_anchor=_anchor(scale(tick)),
        )
        for tick, text in zip(ticks, tick_labels(ticks), strict=True)
    ]
    marks = [element("line", class_="tickmark", x1=_percent(scale(tick)), x2=_percent(scale(tick)), y1=15, y2=20) for tick in ticks]
    return element("svg", *texts, *marks, class_="strip", aria_hidden="true", width="100%", height=20)


def shares(first: float, label: str) -> Markup:
    """A bar of two shares, the first of which is `first` in [0, 1]."""
    parts = [
        element("rect", class_="share-rows", x=0, y=4, width=_percent(100 * first), height=12),
        element("rect", class_="share-seeds", x=_percent(100 * first), y=4, width=_percent(100 * (1 - first)), height=12),
    ]
    return element("svg", *parts, class_="strip", role="img", aria_label=label, width="100%", height=20)


def swatch(series: int) -> Markup:
    """A legend's line and marker of a series."""
    line = element("path", class_=f"line s{series % 6}", d="M1 7H29")
    return element("svg", line, marker(15, 7, series), class_="swatch", width=30, height=14, aria_hidden="true")


def _zone(scale: Scale, zero: float, margin: float) -> list[Markup]:
    if not margin > 0 or not math.isfinite(margin):
        return []
    edges = sorted((scale(zero - margin), scale(zero + margin)))
    zone = element("rect", class_="zone", x=_percent(edges[0]), y=0, width=_percent(edges[1] - edges[0]), height=HEIGHT)
    return [zone, *(_rule("margin", edge) for edge in edges)]


def _rule(style: str, place: float) -> Markup:
    return element("line", class_=style, x1=_percent(place), x2=_percent(place), y1=0, y2=HEIGHT)


def _whisker(scale: Scale, low: float, high: float, style: str) -> list[Markup]:
    ends = [_percent(scale(end)) for end in (low, high)]
    across = element("line", class_=f"whisker {style}", x1=ends[0], x2=ends[1], y1=_MIDDLE, y2=_MIDDLE)
    return [across, *(element("line", class_=f"whisker {style}", x1=end, x2=end, y1=_MIDDLE - 5, y2=_MIDDLE + 5) for end in ends)]


def _anchor(place: float) -> str:
    return "start" if place < 12 else "end" if place > 88 else "middle"


def _percent(place: float) -> str:
    return f"{place:.2f}%"
