"""The page of a comparison: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys.evaluation.comparison import Comparison
from recsys.evaluation.page import differences as to_baseline
from recsys.evaluation.page import digits, metrics, panels, policies, slices, strips, summary
from recsys.evaluation.page.view import SYMBOLS, View
from recsys.files import write_whole


def write_page(comparison: Comparison, path: Path) -> None:
    """Write the page of `comparison` to `path`, whole or not at all."""
    write_whole(path, render(comparison))


def render(comparison: Comparison) -> str:
    """The page as text. Names and values are escaped wherever they stand; the page runs no script, and its policy forbids any."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(digits, name) for name in ("plain", "count", "percent", "p_value", "duration")}
    environment.globals |= {"symbols": SYMBOLS, "swatch": strips.swatch, "panels": panels}
    return environment.get_template("page.html").render(**_sections(View(comparison)))


def _sections(view: View) -> dict[str, object]:
    return {
        "comparison": view.comparison,
        "view": view,
        "summary": summary.summarise(view),
        "forests": to_baseline.forests(view),
        "metric_tables": metrics.metric_tables(view),
        "all_differences": to_baseline.all_differences(view),
        "methods": {part.method for part in view.comparison.differences},
        "calibration_rows": metrics.calibration_rows(view),
        "meanings": metrics.meanings(view),
        "heat_maps": slices.heat_maps(view),
        "seed_tables": to_baseline.seed_tables(view),
        "policy_tables": policies.policy_tables(view),
        "trade_offs": policies.trade_offs_of(view),
    }
