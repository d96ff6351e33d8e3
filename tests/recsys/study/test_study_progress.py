"""What is told of the time that a study still takes."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from recsys.study.child import SEARCH, Child
from recsys.study.progress import Display
from recsys.study.runner import Failure


def told(display: Display, children: list[Child], done: int) -> None:
    display.expect(len(children), done)
    for child in children:
        display.started(child)
        display.failed(Failure(child, "why", Path("log")))


def test_what_is_to_go_counts_the_rounds_that_follow() -> None:
    """A search of three, of which one is done already, then two that are reported, one of them done already."""
    out = io.StringIO()
    trials = [Child("tuned", "mmoe", 9, {"mto.weights": [1.0, number]}, SEARCH) for number in (2.0, 3.0)]
    with Display(Console(file=out, width=200), slots=2) as display:
        display.foresee(5)
        told(display, trials[:1], done=1)
        told(display, trials[1:], done=0)
        display.foresee(2)
        told(display, [Child("equal", "mmoe", 0)], done=1)
    lines = [line for line in out.getvalue().splitlines() if "why" in line]
    assert [line.rpartition("(")[2] for line in lines] == ["3 to go)", "2 to go)", "all ended)"]


def test_rounds_that_nobody_foresaw_are_counted_one_by_one() -> None:
    """Of successive halving: how many go on is known after each."""
    out = io.StringIO()
    with Display(Console(file=out, width=200), slots=1) as display:
        for number in range(2):
            told(display, [Child("equal", "mmoe", seed, stage=f"round-{number}") for seed in range(2)], done=0)
    lines = [line for line in out.getvalue().splitlines() if "why" in line]
    assert [line.rpartition("(")[2] for line in lines] == ["1 to go)", "all ended)"] * 2
