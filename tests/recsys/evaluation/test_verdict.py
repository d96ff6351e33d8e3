"""Decisions from intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.evaluation.verdict import Finding, judge, recommend

ends = st.floats(-1, 1)
margins = st.floats(0, 0.5)


def finding(low: float, high: float, *, task: str = "ctr", margin: float = 0.0, guardrail: bool = True, higher: bool = True) -> Finding:
    verdict = judge(low, high, margin, higher, p_better=0.01, p_worse=0.01)
    return Finding(task, "auc", higher, margin, guardrail, (low + high) / 2, low, high, verdict)


@given(ends, ends, margins, st.booleans())
def test_a_verdict_turns_with_the_sides(one: float, other: float, margin: float, higher: bool) -> None:
    low, high = sorted((one, other))
    here = judge(low, high, margin, higher, p_better=0, p_worse=0)
    assert judge(-high, -low, margin, higher, p_better=0, p_worse=0) == {"better": "worse", "worse": "better"}.get(here, here)
    assert judge(-high, -low, margin, not higher, p_better=0, p_worse=0) == here, "lower is better of the opposite"
    inside = low <= margin and high >= -margin
    assert (here == "inconclusive") == inside


@given(ends, ends, margins, margins)
def test_a_larger_margin_never_makes_a_verdict(one: float, other: float, margin: float, more: float) -> None:
    low, high = sorted((one, other))
    wide = judge(low, high, margin + more, True, p_better=0, p_worse=0)
    assert wide in ("inconclusive", judge(low, high, margin, True, p_better=0, p_worse=0))


def test_what_is_not_known_or_not_corrected_away_is_inconclusive() -> None:
    assert judge(math.nan, math.nan, 0, True, p_better=math.nan, p_worse=math.nan) == "inconclusive"
    assert judge(0.1, 0.2, 0, True, p_better=0.06, p_worse=0.02) == "inconclusive", "better has to outlast the correction"
    assert judge(-0.2, -0.1, 0, True, p_better=0.06, p_worse=0.02) == "worse", "a warning does not"


@pytest.mark.parametrize(
    ("findings", "advice", "verdict"),
    [
        ([finding(0.01, 0.02), finding(-0.01, 0.01, task="cvr")], "promote", "better"),
        ([finding(0.01, 0.02), finding(-0.02, -0.01, task="cvr")], "keep the baseline", "worse"),
        ([finding(0.01, 0.02), finding(-0.02, -0.01, task="cvr", guardrail=False)], "promote", "better"),
        ([finding(0.01, 0.02, margin=0.005), finding(-0.01, 0.01, task="cvr", margin=0.005)], "gather more evidence", "inconclusive"),
        ([finding(0.01, 0.02, margin=0.005), finding(-0.004, 0.01, task="cvr", margin=0.005)], "promote", "better"),
        ([finding(-0.01, 0.01), finding(-0.01, 0.01, task="cvr")], "gather more evidence", "inconclusive"),
        ([finding(-0.001, 0.001, margin=0.01), finding(-0.001, 0.002, task="cvr", margin=0.01)], "keep the baseline", "inconclusive"),
        ([finding(math.nan, math.nan)], "gather more evidence", "inconclusive"),
        ([finding(-0.02, -0.01, higher=False), finding(-0.001, 0.001, task="cvr")], "promote", "better"),
    ],
)
def test_the_rule(findings: list[Finding], advice: str, verdict: str) -> None:
    found = recommend("new", "old", findings)
    assert (found.recommendation, found.verdict) == (advice, verdict)
    assert found.words.startswith(advice[0].upper() + advice[1:]) and all(
        f"{part.task}: {part.verdict}" in found.words for part in findings
    )
    assert found.tasks == {part.task: part.verdict for part in findings}


def test_a_worse_guardrail_rules_whatever_else_is_better() -> None:
    better = [finding(0.1, 0.2, task=f"t{number}") for number in range(5)]
    for place in range(5):
        findings = [*better[:place], replace(finding(-0.2, -0.1), task="guard"), *better[place:]]
        assert recommend("new", "old", findings).recommendation == "keep the baseline"
