from __future__ import annotations

import math
import re
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from html_page import Page
from hypothesis import given
from hypothesis import strategies as st
from page_cases import HOSTILE, simulated

from recsys.evaluation import names
from recsys.evaluation.comparison import Comparison, Slice
from recsys.evaluation.page import render, write_page
from recsys.evaluation.page.differences import forests
from recsys.evaluation.page.digits import count, decimals_of, interval, p_value, percent, plain, signed
from recsys.evaluation.page.metrics import meanings
from recsys.evaluation.page.panels import HEIGHT, Panel, trade_off
from recsys.evaluation.page.slices import heat_maps
from recsys.evaluation.page.svg import Scale, element, tick_labels
from recsys.evaluation.page.view import View

STYLES = Path(__file__).parents[3] / "recsys/evaluation/page/templates/page.css"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return simulated()


@pytest.fixture(scope="module")
def page(comparison: Comparison) -> Page:
    return Page(render(comparison))


def number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", "").replace("–", "nan").replace("∞", "inf"))


def test_every_difference_is_in_its_row(comparison: Comparison, page: Page) -> None:
    rows = {tuple(row[:3]): row for row in page.rows if len(row) == 12}
    whole = [part for part in comparison.differences if part.slice is None]
    for part in whole:
        row = rows[part.task, part.metric, part.candidate]
        low, high = row[4].strip("[]").split(", ")
        for text, value in ((row[3], part.difference), (low, part.low), (high, part.high)):
            assert number(text) == pytest.approx(value, abs=0.51 * 10 ** -len(text.partition(".")[2])), row
        assert number(row[5].replace("< 0.001", "0.0005")) == pytest.approx(part.p, abs=6e-4)
        assert number(row[10]) == pytest.approx(part.rows_needed, abs=1)
        assert row[11].split()[-1] == part.verdict
    assert len(rows) == len(whole) + 1  # and its head


def test_every_metric_is_in_its_table(comparison: Comparison, page: Page) -> None:
    cells = [cell for row in page.rows for cell in row]
    for part in comparison.estimates:
        if part.slice is None:
            assert any(cell.startswith(plain(part.value)) for cell in cells), part


def test_the_summary_comes_first_and_the_way_to_repeat_it_last(comparison: Comparison) -> None:
    text = render(comparison)
    headings = [unescape(heading) for heading in re.findall(r"<h[12][^>]*>(.*?)</h", text)]
    assert headings == [
        "Promote emtl",
        "2 warnings",
        "Differences to equal",
        "Metrics",
        "Slices",
        "Curves",
        "Training seeds against rows",
        "Policies",
        "Trade-offs",
        "How it was computed",
    ]
    shown = Page(text[text.index("<header>") : text.index("</body>")]).text
    (said,) = comparison.recommendations
    parts = (said.words, said.rule, *comparison.warnings, "Differences to equal", comparison.data.fingerprint, comparison.command)
    places = [shown.index(part) for part in parts]
    assert places == sorted(places)
    assert all(re.search(rf"{name}\s*{re.escape(version)}", shown) for name, version in comparison.versions.items())


def test_it_needs_nothing_and_runs_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "form")
        assert not any(name.startswith("on") or name == "src" for name in attributes), attributes
        assert (attributes.get("href") or "#").startswith("#")
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}) in page.elements
    assert "url(" not in STYLES.read_text()


def test_charts_and_links_are_named(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or (attributes["role"] == "img" and attributes["aria-label"])
        if tag == "a":
            assert (attributes["href"] or "")[1:] in ids
        if tag == "th":
            assert attributes["scope"] in ("row", "col", "rowgroup")


def test_whatever_is_shown_is_escaped() -> None:
    strangers = [*HOSTILE, "<b>three</b>"]
    hostile = simulated(names=strangers)
    strange = [name.replace("t", "<i>") for name in ("tab", "hour")]
    hostile = hostile.model_copy(
        update={
            "command": f"recsys evaluate '{strangers[0]}'",
            "warnings": strangers,
            "versions": {strangers[0]: strangers[1]},
            "data": hostile.data.model_copy(
                update={"paths": strangers, "group": strangers[0], "first_time": strangers[1], "fingerprint": strangers[2]}
            ),
            "candidates": [
                part.model_copy(update={"spec": part.name, "run_id": part.name, "trained_on": strangers}) for part in hostile.candidates
            ],
            "differences": [
                part.model_copy(update={"slice": part.slice and Slice(column=strange[0], value=strangers[0])})
                for part in hostile.differences
            ],
        }
    )
    page = Page(render(hostile))
    test_it_needs_nothing_and_runs_nothing(page)
    for name in [*strangers, strange[0]]:
        assert name in page.text
    assert not {tag for tag, _ in page.elements} & {"b", "i", "img"}
    assert "49" not in [part for _, attributes in page.elements for part in attributes.values()]


@pytest.mark.parametrize("challengers", [0, 1, 5])
@pytest.mark.parametrize("tasks", [1, 8])
def test_from_one_candidate_and_task_to_many(challengers: int, tasks: int) -> None:
    labels = [f"task_{number}" for number in range(tasks)]
    comparison = simulated(challengers, labels, slices=False)
    page = Page(render(comparison))
    for name in [*labels, *(candidate.name for candidate in comparison.candidates)]:
        assert name in page.text
    assert sum(attributes.get("class") == "panel" for tag, attributes in page.elements if tag == "svg") >= 3 * tasks
    assert ("nothing was compared" in page.text) == (challengers == 0)


def test_numbers_that_are_not_there_are_dashes(comparison: Comparison) -> None:
    def without(part: object) -> object:
        if isinstance(part, float):
            return math.nan
        if isinstance(part, list):
            return [without(item) for item in part]
        return {key: without(value) for key, value in part.items()} if isinstance(part, dict) else part

    text = render(Comparison.model_validate(without(comparison.model_dump())))
    page = Page(text)
    assert not re.search(r"\bnan\b", page.text, re.I)
    assert not any("nan" in (value or "").lower().split() for _, attributes in page.elements for value in attributes.values())
    assert page.text.count("–") > 100


def test_what_was_not_measured_is_said(comparison: Comparison) -> None:
    nothing: dict[str, list] = {name: [] for name in ("seeds", "curves", "policies", "trade_offs")}
    page = Page(render(comparison.model_copy(update=nothing)))
    for name in ("several training seeds", "ROC curves", "policies (the log needs propensities)", "trade-offs (give a formula)"):
        assert name in page.text


def test_every_metric_has_a_meaning(comparison: Comparison) -> None:
    grouped = [name.replace("K", "10") for name in names.BINARY_GROUPED]
    measured = {*names.BINARY_OFFLINE, *names.DURATION, *names.BY_DURATION, *grouped} - {"rows", "positives"}
    estimates = [comparison.estimates[0].model_copy(update={"metric": metric}) for metric in measured]
    told = meanings(View(comparison.model_copy(update={"estimates": estimates})))
    assert {name for shown in told for name in shown.split(", ")} == measured
    assert "rmse_by_duration" in Page(render(comparison.model_copy(update={"estimates": estimates}))).text


def test_a_page_is_replaced_whole(comparison: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("before")
    write_page(comparison, path)
    assert path.read_text(encoding="utf-8") == render(comparison)
    assert [found.name for found in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("said", "headline"),
    [
        (["promote", "keep the baseline", "promote"], "Promote emtl or nash"),
        (
            ["gather more evidence", "keep the baseline", "gather more evidence"],
            "Keep equal for now: more evidence is needed on emtl or nash",
        ),
        (["keep the baseline"] * 3, "Keep equal"),
    ],
)
def test_the_headline_is_the_best_recommendation(said: list[str], headline: str) -> None:
    comparison = simulated(3, ["ctr"], slices=False)
    parts = [part.model_copy(update={"recommendation": one}) for part, one in zip(comparison.recommendations, said, strict=True)]
    assert f"<h1>{headline}</h1>" in render(comparison.model_copy(update={"recommendations": parts}))


def test_strips_are_to_scale_and_better_is_to_the_right(comparison: Comparison) -> None:
    for forest in forests(View(comparison)):
        (part,) = [part for part in comparison.differences if part.slice is None and part.task == forest.task.name]
        (x,) = re.findall(r'<circle class="point \w+" cx="([\d.]+)%"', str(forest.rows[0].strip))
        ends = re.findall(r'<line class="whisker \w+" x1="([\d.]+)%" x2="([\d.]+)%"', str(forest.rows[0].strip))[0]
        zero = float(re.findall(r'class="zero" x1="([\d.]+)%', str(forest.rows[0].strip))[0])
        per_percent = (part.high - part.low) / (float(ends[1]) - float(ends[0]))
        assert part.difference == pytest.approx((float(x) - zero) * per_percent, abs=abs(per_percent) * 0.03)
        gain = part.difference if forest.task.higher_is_better else -part.difference
        assert (float(x) > zero) == (gain > 0)


def test_slices_are_marked_where_the_corrected_p_is_small() -> None:
    comparison = simulated(2)
    random = np.random.default_rng(0)
    changed = [
        part.model_copy(update={"p": p / 9, "p_fdr": p / 2, "p_holm": p})
        for part, p in zip(comparison.differences, random.random(len(comparison.differences)) * 0.3, strict=True)
    ]
    maps = heat_maps(View(comparison.model_copy(update={"differences": changed})))
    assert [found.candidate for found in maps] == ["emtl", "famo"]
    for found in maps:
        own = [part for part in changed if part.candidate == found.candidate and part.slice]
        cells = [cell for rows in found.columns.values() for row in rows for cell in row.cells]
        assert [found.cells, len(cells)] == [len(own)] * 2
        assert sum(cell.mark == "●" for cell in cells) == sum(part.p_holm < 0.05 for part in own)
        assert found.marked == sum(part.p_fdr < 0.05 for part in own)
        for cell in cells:
            better = number(cell.value) > 0 if "auc" in cell.words else number(cell.value) < 0
            assert cell.heat[0] in ("h", "b" if better else "w")
            assert (cell.heat[1] in "23") <= bool(cell.mark)


def test_only_the_front_of_a_trade_off_is_filled(comparison: Comparison) -> None:
    numbered = [(place, 0, point) for place, point in enumerate(comparison.trade_offs, start=1)]
    drawn = str(trade_off("ctr/auc", "cvr/auc", numbered))
    assert drawn.count("hollow") == sum(not point.on_front for point in comparison.trade_offs)
    assert drawn.count('class="mark') == len(comparison.trade_offs)
    shown = {int(text) for text in re.findall(r'class="number"[^>]*>(\d+)<', drawn)}
    assert shown <= {place for place, _, point in numbered if point.on_front}


def test_a_panel_puts_points_where_they_belong() -> None:
    panel = Panel.over((0, 2), (0, 10), "x", "y", "a chart")
    panel.line((0, 1, math.nan, 2), (0, 5, 3, 10), "line")
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", str(panel.marks[0]))
    corners = np.array(points, float)
    np.testing.assert_allclose(corners[1], (corners[0] + corners[2]) / 2, atol=0.06)
    assert corners[0, 1] > corners[2, 1]  # up is more
    assert 0 < corners[:, 1].min() < corners[:, 1].max() < HEIGHT


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.booleans(), st.integers(3, 6))
def test_ticks_are_round_even_and_within(low: float, width: float, backwards: bool, wanted: int) -> None:
    width = max(width, 1e-6 * abs(low))
    high = low + width
    scale = Scale(high, low) if backwards else Scale(low, high)
    ticks = scale.ticks(wanted)
    assert all(low - 1e-6 * width <= tick <= high + 1e-6 * width for tick in ticks)
    assert 1 <= len(ticks) <= 2 * wanted
    np.testing.assert_allclose(np.diff(ticks), np.diff(ticks)[0] if len(ticks) > 1 else [], rtol=1e-6)
    assert len(set(tick_labels(ticks))) == len(ticks)


def test_elements_escape_text_and_attributes() -> None:
    assert str(element("text", "<&\"'", class_='a"b', x=1.50)) == '<text class="a&#34;b" x="1.5">&lt;&amp;&#34;&#39;</text>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (plain(0.75949), "0.7595"),
        (plain(15.72), "15.72"),
        (plain(123456.7), "123,457"),
        (plain(0.000123), "0.00012"),
        (plain(0.0), "0"),
        (plain(-math.inf), "−∞"),
        (plain(math.nan), "–"),
        (signed(0.00214, 4), "+0.0021"),
        (signed(-0.00214, 3), "−0.002"),
        (signed(-0.0001, 3), "0.000"),
        (interval(-0.001, 0.0213, 3, sign=True), "[−0.001, +0.021]"),
        (interval(math.nan, 1, 3), "–"),
        (p_value(0.0004), "< 0.001"),
        (p_value(0.0312), "0.031"),
        (count(math.inf), "∞"),
        (count(1234567), "1,234,567"),
        (percent(0.0312), "3.1 %"),
        (percent(0.42), "42 %"),
        (percent(0.0), "0 %"),
        (str(decimals_of(0.0010, 0.0032)), "4"),
        (str(decimals_of(10.0, 40.0)), "0"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_have_the_contrast_that_wcag_asks_for(mode: str) -> None:
    light, dark = STYLES.read_text().split(":root {")[1:3]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light if mode == "light" else dark))
    grounds = [colours["ground"], colours["raised"]]
    for ground in grounds:
        for name in ("ink", "muted", "link", "better", "worse", "inconclusive"):
            assert contrast(colours[name], ground) >= (4.2 if ground == colours["raised"] else 4.5), (name, ground)
        for name in ("s0", "s1", "s2", "s3", "s4", "s5"):
            assert contrast(colours[name], ground) >= 3
    for name in ("b1", "b2", "b3", "w1", "w2", "w3"):
        assert contrast(colours["on-heat"], colours[name]) >= 4.5, name
