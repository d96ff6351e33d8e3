"""What the figures of a study share: colours that the page can turn, names that fit, and how they are written."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from recsys.tracking.figures import COLOURS

INK, MUTED, LINE = "#1a1d21", "#565c66", "#d5d9df"
BETTER, WORSE, DOUBT = "#0072b2", "#c65200", "#5b6068"
# A page's style sheet has a colour for light and for dark in the place of each of these.
_TURNED = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    WORSE: "--worse",
    DOUBT: "--inconclusive",
    **{colour.lower(): f"--s{place}" for place, colour in enumerate(COLOURS[:5], start=1)},
    COLOURS[5].lower(): "--better",
    COLOURS[6].lower(): "--ink",
}


def named(name: str, longest: int = 34) -> str:
    """A name as it is drawn: shortened in the middle, and never read as a formula."""
    if len(name) > longest:
        name = f"{name[: longest // 2]}…{name[-(longest - longest // 2 - 1) :]}"
    return name.replace("$", r"\$")


def finish(axes: Axes, title: str = "", longest: int = 60) -> None:
    """The look of every panel."""
    axes.set_title(named(title, longest), loc="left", fontsize=9, color=INK)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=MUTED, fontsize=8.5)


def write_png(figure: Figure, path: Path) -> None:
    """On white."""
    figure.set_facecolor("white")
    FigureCanvasAgg(figure).print_png(path)


def svg(figure: Figure, prefix: str, label: str) -> Markup:
    """The figure as an element of a page: its text stays text, its colours are the page's, its ids begin with `prefix`."""
    figure.set_facecolor("none")
    for axes in figure.axes:
        axes.set_facecolor("none")
    written = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": prefix}):
        FigureCanvasSVG(figure).print_svg(written, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.S)
    text = re.sub(r'\b(id="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", text)
    text = re.sub("|".join(_TURNED), lambda match: f"var({_TURNED[match[0]]})", text)
    attributes = f'class="figure" role="img" aria-label="{Markup.escape(label)}"'
    return Markup(re.sub(r'^<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf"<svg {attributes} \g<1>>", text))
