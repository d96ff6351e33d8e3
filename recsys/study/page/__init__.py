"""The page of a study: one HTML file that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys.evaluation import page as of_evaluations
from recsys.evaluation.page import digits
from recsys.evaluation.page.view import SYMBOLS
from recsys.files import write_whole
from recsys.study.analysis.conclusion import RULE
from recsys.study.figures import Courses
from recsys.study.findings import Findings
from recsys.study.page.sections import headline, sections_of

_TEMPLATES = [Path(__file__).parent / "templates", Path(of_evaluations.__file__).parent / "templates"]


def write_page(findings: Findings, courses: Courses, path: Path) -> None:
    """Write the page of `findings` to `path`, whole or not at all."""
    write_whole(path, render(findings, courses))


def render(findings: Findings, courses: Courses) -> str:
    """The page as text. Names and values are escaped wherever they stand; the page runs no script, and its policy forbids any."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {name: getattr(digits, name) for name in ("plain", "count", "p_value")}
    environment.globals |= {"symbols": SYMBOLS}
    return environment.get_template("study.html").render(
        findings=findings, headline=headline(findings), groups=sections_of(findings, courses), rule=RULE
    )
