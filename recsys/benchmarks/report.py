"""What a person reads of a benchmark."""

from __future__ import annotations

from statistics import median
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


def print_data(console: Console, result: dict[str, Any]) -> None:
    """Print both speeds, their ratio and the memory curve of the reader."""
    console.print("\nparquet -> Batch, whole shuffled epochs, against pyarrow decoding the same columns", style="bold")
    table = Table(box=SIMPLE_HEAD)
    for heading, side in (("what", "left"), ("rows/s", "right"), ("lowest", "right"), ("highest", "right"), ("rows/cpu s", "right")):
        table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
    for name in ("decoder", "reader"):
        speeds, cpu = ([own[key] for own in result[name]] for key in ("speed", "cpu_speed"))
        table.add_row(name, *(f"{value:,.0f}" for value in (median(speeds), min(speeds), max(speeds), median(cpu))))
    for name, key in (("reader / decoder", "ratio"), ("of processor time", "cpu_ratio")):
        table.add_row(name, *(f"{result[key][which]:.2f}" for which in ("median", "low", "high")), "")
    console.print(table)
    if result["memory"]:
        table = Table("epoch of rows", "peak MiB", "before the first batch", box=SIMPLE_HEAD)
        for own in result["memory"]:
            table.add_row(f"{own['rows']:,}", f"{own['peak']:,.0f}", f"{own['start']:,.0f}")
        console.print(table)
    console.print(
        f"{result['log']}, {result['times']} time(s): {result['rows']:,} rows, {result['columns']} columns; "
        f"{len(result['reader'])} rounds; {result['threads']} threads each, and one more of the reader's puts batches together",
        highlight=False,
        soft_wrap=True,
    )
    _print_machine(console, result["conditions"])


def print_training(console: Console, result: dict[str, Any]) -> None:
    """Print a row for each number of processes and precision, and what more processes give."""
    console.print(f"\nTraining: {result['workload']}, batch {result['batch']}", style="bold")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    speeds_of = ("samples\n/ s", "samples\n/ cpu s", "\nresident", "\nplain")
    for heading in ("ranks x\nthreads", "\ntype", *speeds_of, "/\nresident", "/\nplain", "/\npeer"):
        table.add_column(heading, justify="right", no_wrap=True)
    for own in result["layouts"]:
        speeds = (f"{own[name]:,.0f}" for name in ("parquet", "cpu_parquet", "resident", "plain"))
        ratios = (own["ratio"], own["parquet"] / own["plain"], own["against_peer"])
        told = ("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        table.add_row(f"{own['processes']} x {own['threads']}", own["precision"], *speeds, *told)
    console.print(table)
    lines = [
        f"{own['processes']} processes / 1 process, one torch thread each, {own['precision']}: {own['parquet']:.2f} from parquet, "
        f"{own['resident']:.2f} on the resident batch, {own['plain']:.2f} with plain steps, {own['products']:.2f} of matrix products alone "
        f"(what the machine gives at most); {own['cpu_parquet']:.2f} by processor time"
        for own in result["scaling"]
    ]
    lines.append(f"samples/s: an epoch of {result['rows']:,} rows from parquet ({result['data']}), its start and reading included;")
    lines.append("resident: the same step on one batch that stays in memory, before and after that epoch;")
    lines.append("plain: the same model in bare TorchRec with mean losses and Adam, float32, on a resident batch;")
    lines.append("/ peer: TorchEasyRec, which on another 2-core machine reached .79 (1 process) and .97 (2) of the plain step's samples/s;")
    lines.append("here these are shares of the fastest plain layout")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    _print_machine(console, result["conditions"])


def _print_machine(console: Console, conditions: dict[str, Any]) -> None:
    load = ", ".join(" ".join(f"{value:.2f}" for value in conditions[when]) for when in ("load", "load_after"))
    bf16 = " and ".join(conditions["bf16"]) or "no bfloat16 arithmetic (neither amx_bf16 nor avx512_bf16)"
    for line in (
        f"{conditions['cpu']}, {conditions['cores']} cores, {bf16}",
        f"load average (1, 5, 15 minutes) before, after: {load}",
    ):
        console.print(line, highlight=False, soft_wrap=True)


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
