from __future__ import annotations

import re
from pathlib import Path

import pytest
from browser import Browser
from html_page import Page
from study_cases import described, made_courses, made_field, made_findings

from recsys.study.analysis.group import group_of
from recsys.study.figures import write_figures
from recsys.study.findings import Findings
from recsys.study.page import render, write_page

PLANTED = {"s3": (0.0, 0.02, 0.0), "s5": (0.0, 0.0, 0.02), "s6": (0.02, -0.02, 0.0)}
HOSTILE = ["<script>alert('equal')</script>", '"><img src=x onerror=alert(1)> & $größer^{ 模型 {{ 7 * 7 }} ' + "w" * 90]


@pytest.fixture(scope="module")
def findings() -> Findings:
    return made_findings(made_field(strategies=8, seeds=5, replicates=100, planted=PLANTED))


@pytest.fixture(scope="module")
def page(findings: Findings) -> Page:
    return Page(render(findings, made_courses(findings)))


def test_the_page_says_what_is_concluded_first(findings: Findings, page: Page) -> None:
    places = [
        page.text.index(part) for part in ("1 of 8 strategies is better than equal weights", *findings.conclusion, "How it was computed")
    ]
    assert places == sorted(places)


def test_every_difference_is_in_its_row(findings: Findings, page: Page) -> None:
    rows = [row for row in page.rows if len(row) == 6 and row[0] != "strategy, mean difference"]
    shown = findings.groups[0].differences
    assert len(rows) == len(shown)
    for part in shown:
        own = [row for row in rows if row[0].startswith(part.entry) and row[-1].split()[-1] == part.verdict and row[2] == "5"]
        text = f"{part.mean:+.2f}".replace("-", "−")[:5]
        assert any(text in row[0] or abs(part.mean) < 0.005 for row in own), part
        assert any(row[4] == ("–" if part.seeds_needed is None else f"{part.seeds_needed:,}") for row in own)


def test_every_entry_has_its_line(findings: Findings, page: Page) -> None:
    group = findings.groups[0]
    lines = {row[0].replace("on the Pareto front", ""): row for row in page.rows if len(row) > 10}
    for entry in group.entries:
        line = lines[entry.name]
        assert f"{entry.test['cvr'].mean:.4f}" in line[4] and f"± {entry.test['cvr'].deviation:.4f}" in line[4]
        assert [word for word in line[1].split() if word in ("ctr", "cvr", "dwell")] == [*entry.better, *entry.worse]
        assert (
            "on the Pareto front" in "".join(row[0] for row in page.rows if row[0].startswith(entry.name) and len(row) > 10)
        ) == entry.on_front


def test_it_needs_nothing_runs_nothing_and_names_its_parts(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "form", "metadata")
        assert not any(name.startswith("on") or name == "src" for name in attributes), attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#")[0] == "#" and (name not in attributes or (attributes[name] or "")[1:] in ids)
        for used in re.findall(r"url\(#([^)]*)\)", " ".join(value or "" for value in attributes.values())):
            assert used in ids
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
        if tag == "th":
            assert attributes["scope"] in ("row", "col", "rowgroup")
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}) in page.elements


def test_whatever_is_shown_is_escaped(tmp_path: Path) -> None:
    findings = renamed(dict(zip(("s3", "s5"), HOSTILE, strict=True)))
    shown = Page(render(findings.model_copy(update={"missing": HOSTILE, "warnings": HOSTILE, "study": HOSTILE[1]}), made_courses(findings)))
    test_it_needs_nothing_runs_nothing_and_names_its_parts(shown)
    for name in HOSTILE:
        assert name in shown.text
    assert write_figures(findings, made_courses(findings), tmp_path)  # a $ is no formula


def renamed(names: dict[str, str]) -> Findings:
    field = made_field(strategies=6, seeds=3, replicates=50, planted=PLANTED)
    parts = described(field)
    field.names[:] = [names.get(name, name) for name in field.names]
    return made_findings(field, parts)


@pytest.mark.parametrize(("strategies", "seeds"), [(0, 3), (1, 1), (3, 2)])
def test_little_is_shown_too(strategies: int, seeds: int, tmp_path: Path) -> None:
    findings = made_findings(made_field(strategies, seeds, replicates=20))
    shown = Page(render(findings, {}))
    assert "nan" not in re.findall(r"\w+", shown.text.lower())
    write_figures(findings, {}, tmp_path)
    nothing = findings.model_copy(update={"groups": [], "rows": 0})
    assert "Nothing to compare" in Page(render(nothing, {})).text


def test_several_architectures_have_sections_of_their_own(findings: Findings, tmp_path: Path) -> None:
    field = made_field(strategies=3, seeds=3, replicates=50, random_seed=1)
    both = findings.model_copy(update={"groups": [*findings.groups, group_of("ple", field, described(field))]})
    shown = Page(render(both, made_courses(both)))
    test_it_needs_nothing_runs_nothing_and_names_its_parts(shown)
    assert "Differences · ple" in shown.text and "Results · mmoe" in shown.text
    names = {path.name for path in write_figures(both, made_courses(both), tmp_path)}
    assert names == {f"{name}-{group}.png" for name in ("delta_m", "trade_offs", "weights", "ranks") for group in ("mmoe", "ple")}


SEEN = """{
  text: page.querySelector("#verdict").innerText, beyond: page.documentElement.scrollWidth - view.innerWidth,
  scripts: page.querySelectorAll("script").length, ground: view.getComputedStyle(page.body).backgroundColor,
  points: [...page.querySelectorAll("details[open] svg.strip .point")].map(point => point.getBoundingClientRect().left),
  inks: [...new Set([...page.querySelectorAll("svg.figure text")].map(text => view.getComputedStyle(text).fill))].sort(),
  cut: [...page.querySelectorAll("svg.figure")].map(figure => [...figure.querySelectorAll("text")].filter(text => {
    const own = text.getBoundingClientRect(), whole = figure.getBoundingClientRect();
    const beside = own.left < whole.left - 1 || own.right > whole.right + 1;
    return own.width && (beside || own.top < whole.top - 1 || own.bottom > whole.bottom + 1);
  }).length), covered: [...page.querySelectorAll("svg.figure")].map(figure => {
    const boxes = [...figure.querySelectorAll("text")].map(text => text.getBoundingClientRect()).filter(box => box.width);
    return boxes.filter((one, place) => boxes.slice(place + 1).some(other =>
      one.left < other.right - 1 && other.left < one.right - 1 && one.top < other.bottom - 3 && other.top < one.bottom - 3)).length;
  })}"""


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_in_a_browser_nothing_is_beyond_the_edge_and_no_name_covers_another(
    browser: Browser, findings: Findings, tmp_path: Path, width: int, dark: bool
) -> None:
    many = (
        made_findings(made_field(strategies=34, seeds=3, replicates=50, planted=PLANTED)) if width > 1000 else renamed({"s3": HOSTILE[1]})
    )
    write_page(many, made_courses(many), tmp_path / "page.html")
    seen = browser.measure(tmp_path / "page.html", SEEN, width=width, dark=dark)
    assert "beyond doubt" in seen["text"] and (seen["scripts"], seen["beyond"] <= 0) == (0, True)
    assert seen["ground"] == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    assert seen["inks"] == (["rgb(169, 176, 186)", "rgb(233, 235, 238)"] if dark else ["rgb(26, 29, 33)", "rgb(86, 92, 102)"])
    assert len(seen["points"]) == sum(part.reference == "equal" for part in many.groups[0].differences)
    assert all(0 < left < width for left in seen["points"])
    assert (seen["cut"], seen["covered"]) == ([0, 0, 0], [0, 0, 0])
    assert browser.complaints(tmp_path / "page.html") == []
