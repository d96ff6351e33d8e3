"""`recsys bench`: what things cost on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.quiet import quieten
from recsys.errors import InputError

app = typer.Typer(help="Measure what strategies and metrics cost.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure what strategies and metrics cost."""


@app.command()
def mto(
    strategies: Annotated[str, typer.Option(metavar="A,B|all", help="Strategies, with commas between them, or all.")] = "all",
    scopes: Annotated[str, typer.Option(metavar="A,B", help="`representation`, `parameters` or both.")] = "representation,parameters",
    batch: Annotated[int, typer.Option(min=1, help="Rows a step.")] = 4096,
    steps: Annotated[int, typer.Option(min=1, help="Pairs of steps a strategy and round.")] = 20,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds over all strategies.")] = 5,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Time whole training steps of one MMoE under each strategy, strictly in turn with those of equal weights."""
    quieten()
    from rich.console import Console

    from recsys.benchmarks import mto
    from recsys.benchmarks.report import print_result

    scopes_given = tuple(scopes.split(","))
    for scope in scopes_given:
        if scope not in mto.SCOPES:
            raise InputError(f"--scopes: {scope!r} is none of {', '.join(mto.SCOPES)}")
    settings = mto.Settings(tuple(strategies.split(",")), scopes_given, batch, steps, repeats)
    with Console(stderr=True).status("starting") as status:
        result = mto.run(settings, status.update)
    print_result(Console(), result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")


@app.command()
def metrics(
    file_rows: Annotated[int, typer.Option(min=1, help="Rows in score files, for the metrics in bounded memory.")] = 100_000_000,
    rows: Annotated[int, typer.Option(min=1, help="Rows in memory, for AUC and the tests of significance.")] = 10_000_000,
    replicates: Annotated[int, typer.Option(min=1, help="Replicates of the bootstrap.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Measure exact metrics and their significance: seconds and memory. It takes minutes; fewer rows make it shorter."""
    quieten()
    from rich.console import Console

    from recsys.benchmarks import metrics
    from recsys.benchmarks.report import print_measured

    with Console(stderr=True).status("starting") as status:
        result = metrics.run(metrics.Settings(file_rows, rows, replicates), status.update)
    print_measured(Console(), result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")
