from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser
from page_cases import HOSTILE, simulated

from recsys.evaluation.page import write_page

VERDICT = """{
  text: page.querySelector("#verdict").innerText, top: page.querySelector("#verdict").getBoundingClientRect().top,
  beyond: page.documentElement.scrollWidth - view.innerWidth, scripts: page.querySelectorAll("script").length,
  ground: view.getComputedStyle(page.body).backgroundColor, height: page.documentElement.scrollHeight,
  lines: [...page.querySelectorAll("svg.panel path.line")].filter(line => line.getBBox().width > 100).length,
  points: [...page.querySelectorAll("svg.strip .point")].map(point => point.getBoundingClientRect().left),
  small: [...page.querySelectorAll("svg.panel text")].filter(text => text.getBoundingClientRect().height < 10).length}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(simulated(), path)
    return path


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (390, True)])
def test_a_browser_shows_the_verdict_first_and_nothing_beyond_the_edge(browser: Browser, page: Path, width: int, dark: bool) -> None:
    seen = browser.measure(page, VERDICT, width=width, dark=dark)
    assert seen["text"].startswith("Promote emtl\n")
    assert "emtl is better than equal for ctr, dwell and worse for none." in seen["text"]
    assert seen["top"] < 120
    assert seen["beyond"] <= 0
    assert seen["ground"] == ("rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)")
    assert seen["lines"] == 2 * 3 * 3  # two candidates, three tasks: calibration, ROC, scores
    assert len(seen["points"]) == 3 + 3 + 8
    assert all(0 < left < width for left in seen["points"])
    assert seen["small"] == 0
    assert seen["height"] > 3000


def test_the_browser_has_nothing_to_complain_about(browser: Browser, page: Path) -> None:
    assert browser.complaints(page) == []


def test_hostile_names_are_text_in_a_browser_too(browser: Browser, tmp_path: Path) -> None:
    write_page(simulated(names=HOSTILE), tmp_path / "page.html")
    seen = browser.measure(tmp_path / "page.html", VERDICT, width=390)
    assert HOSTILE[1] in seen["text"]
    assert (seen["scripts"], seen["beyond"] <= 0) == (0, True)
    assert browser.complaints(tmp_path / "page.html") == []
