"""What a person reads of a benchmark."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def print_result(console: Console, result: dict[str, Any]) -> None:
    """Print a row a candidate, what was left out, and under which conditions it was measured."""
    console.print("\nOne training step / one with equal weights: medians of pairs taken in turn", style="bold")
    table = Table(box=SIMPLE_HEAD)
    for heading in ("strategy", "scope"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ratio", "quartiles", "cpu", "ms", "equal"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["rows"]:
        times = (f"{row['milliseconds']:.1f}", f"{row['equal']:.1f}")
        ratios = (f"{row['ratio']:.3f}", f"{row['low']:.2f}-{row['high']:.2f}", f"{row['cpu_ratio']:.3f}")
        table.add_row(row["name"], row["scope"], *ratios, *times)
    console.print(table)
    console.print("cpu: the ratio of processor time, which other work on the machine disturbs less", highlight=False)
    for line in result["left_out"]:
        console.print(f"left out: {line}", highlight=False)
    _print_conditions(console, result["conditions"])


def print_measured(console: Console, result: dict[str, Any]) -> None:
    """Print a row for each thing that was measured of metrics."""
    console.print("\nExact metrics and their significance, on made scores", style="bold")
    table = Table(box=SIMPLE_HEAD)
    table.add_column("what")
    for heading in ("rows", "s", "cpu s", "peak MiB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result["rows"]:
        numbers = f"{row['rows']:,}", f"{row['seconds']:.2f}", f"{row['cpu_seconds']:.2f}", f"{row['peak']:,.0f}"
        table.add_row(row["what"], *numbers)
    console.print(table)
    console.print("peak: the most memory that the process had held until then, with the rows and what maps files", highlight=False)
    if result["auc_error"] is not None:
        console.print(f"AUC: scikit-learn's differs by {result['auc_error']:.1e}", highlight=False)
    load = " ".join(f"{value:.2f}" for value in result["load"])
    console.print(f"{result['cores']} cores, load average (1, 5, 15 minutes) {load}", highlight=False)


def _print_conditions(console: Console, conditions: dict[str, Any]) -> None:
    load = ", ".join(" ".join(f"{value:.2f}" for value in conditions[when]) for when in ("load_before", "load_after"))
    lines = (
        f"{conditions['model']}; batch {conditions['batch']}, {conditions['repeats']} rounds of {conditions['steps']} pairs",
        f"{conditions['processes']} process(es) on {conditions['device']}; {conditions['cpu']}, {conditions['cores']} cores, "
        f"{conditions['threads']} thread(s), torch {conditions['torch']}",
        f"load average (1, 5, 15 minutes) before, after: {load}",
    )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
