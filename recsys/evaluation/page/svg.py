"""What charts are drawn with: SVG elements whose text is escaped, scales, and round ticks. Colours are the style sheet's classes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

SHAPES = 6  # of markers, as many as colours in the style sheet


def element(name: str, *children: object, **attributes: object) -> Markup:
    """An element; `class_` is written `class`, `text_anchor` `text-anchor`, None not at all. Children that aren't Markup are text."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"' for key, value in attributes.items() if value is not None
    )
    return Markup(f"<{name}{written}>{Markup().join(escape(child) for child in children)}</{name}>")


def _attribute(value: object) -> Markup:
    return escape(f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value)


@dataclass(frozen=True)
class Scale:
    """Values from `first` to `last` onto `start` to `end`; `first` may be the larger one."""

    first: float
    last: float
    start: float = 0.0
    end: float = 100.0

    @classmethod
    def around(cls, values: Iterable[float], *, backwards: bool = False, margin: float = 0.06) -> Scale:
        """From 0 to 100, with room around the finite ones of `values`; from -1 to 1 where there is none."""
        finite = [value for value in values if math.isfinite(value)] or [-1.0, 1.0]
        low, high = min(finite), max(finite)
        room = margin * (high - low) or abs(high) * margin or 1.0
        return cls(high + room, low - room) if backwards else cls(low - room, high + room)

    def __call__(self, value: float) -> float:
        """The place of `value`, held within the scale."""
        share = (value - self.first) / (self.last - self.first)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self, number: int) -> list[float]:
        """About `number` round values within the scale."""
        low, high = sorted((self.first, self.last))
        rough = (high - low) / max(number, 1)
        size = 10.0 ** math.floor(math.log10(rough))
        step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.75)
        return [step * place for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def tick_labels(ticks: list[float]) -> list[str]:
    """Texts of ticks with as many decimals as tell them apart."""
    step = abs(ticks[1] - ticks[0]) if len(ticks) > 1 else abs(ticks[0]) if ticks else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step else 0
    if round(step * 10**decimals, 6) % 1:  # a step of 2.5
        decimals += 1
    return [f"{tick:,.{decimals}f}".replace("-", "−") if abs(tick) > 1e-12 else "0" for tick in ticks]


def marker(x: float, y: float, series: int, *, hollow: bool = False, size: float = 4.0) -> Markup:
    """The marker of a series, told by shape as well as by colour."""
    corners = _CORNERS[series % SHAPES]
    style = f"mark s{series % SHAPES}{' hollow' if hollow else ''}"
    if not corners:
        return element("circle", class_=style, cx=x, cy=y, r=size)
    return element("path", class_=style, d="M" + "L".join(f"{x + size * a:.1f} {y + size * b:.1f}" for a, b in corners) + "Z")


_CORNERS: tuple[tuple[tuple[float, float], ...], ...] = (
    (),
    ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    ((0, -1.3), (1.2, 0.9), (-1.2, 0.9)),
    ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    ((0, 1.3), (1.2, -0.9), (-1.2, -0.9)),
    (
        (-1.3, -0.4),
        (-0.4, -0.4),
        (-0.4, -1.3),
        (0.4, -1.3),
        (0.4, -0.4),
        (1.3, -0.4),
        (1.3, 0.4),
        (0.4, 0.4),
        (0.4, 1.3),
        (-0.4, 1.3),
        (-0.4, 0.4),
        (-1.3, 0.4),
    ),
)
