"""The terminal's tables at any width."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from recsys.offline.show import show

sys.path.append(str(Path(__file__).parents[1] / "evaluation"))
from page_cases import simulated


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_digit_is_cut_off(width: int) -> None:
    comparison = simulated(slices=False, names=["equal", "emtl"])
    out = io.StringIO()
    show(Console(file=out, width=width, color_system=None), comparison)
    assert "…" not in out.getvalue()
    if width < 80:
        return  # digits are folded onto the next line, but there
    table = out.getvalue().split("emtl against equal")[1].split("\n- ")[0]
    for task in comparison.tasks:
        found = next(part for part in comparison.differences if (part.task, part.metric, part.slice) == (task.name, task.metric, None))
        for number in (found.difference, found.low, found.high):
            assert f"{number:+.4f}" in table
