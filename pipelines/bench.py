"""`recsys bench`: what things cost on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.errors import InputError
from recsys.quiet import quieten

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(help="Measure what reading, training, strategies and metrics cost.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure what reading, training, strategies and metrics cost."""


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
    from recsys.benchmarks import mto
    from recsys.benchmarks.report import print_result

    scopes_given = tuple(scopes.split(","))
    for scope in scopes_given:
        if scope not in mto.SCOPES:
            raise InputError(f"--scopes: {scope!r} is none of {', '.join(mto.SCOPES)}")
    settings = mto.Settings(tuple(strategies.split(",")), scopes_given, batch, steps, repeats)
    _measure(partial(mto.run, settings), print_result, json_file)


@app.command()
def metrics(
    file_rows: Annotated[int, typer.Option(min=1, help="Rows in score files, for the metrics in bounded memory.")] = 100_000_000,
    rows: Annotated[int, typer.Option(min=1, help="Rows in memory, for AUC and the tests of significance.")] = 10_000_000,
    replicates: Annotated[int, typer.Option(min=1, help="Replicates of the bootstrap.")] = 1000,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Measure exact metrics and their significance: seconds and memory. It takes minutes; fewer rows make it shorter."""
    quieten()
    from recsys.benchmarks import metrics
    from recsys.benchmarks.report import print_measured

    _measure(partial(metrics.run, metrics.Settings(file_rows, rows, replicates)), print_measured, json_file)


@app.command()
def data(
    config: Annotated[Path | None, typer.Option(help="Job whose training split is read; a made log of 40 columns when left out.")] = None,
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override of --config.")] = [],  # noqa: B006
    times: Annotated[int, typer.Option(min=1, help="How many times over that split is read, as one log.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the made log.")] = 5_000_000,
    folder: Annotated[Path, typer.Option(help="Where the made log is kept.")] = Path("data/bench"),
    threads: Annotated[int, typer.Option(min=1, help="Threads of the reader and of the decoder.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds.")] = 3,
    memory: Annotated[str, typer.Option(metavar="N,N", help="Rows with which memory is measured; empty for none.")] = "1000000,10000000",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Time the reader against pyarrow decoding the same columns, in turn, and measure its memory. It takes minutes."""
    memory_rows = _numbers("--memory", memory)
    if overrides and config is None:
        raise InputError("--set changes a --config; give one")
    quieten()
    from recsys.benchmarks import data
    from recsys.benchmarks.report import print_data
    from recsys.config_file import load_config

    job = None if config is None else load_config(config, overrides)
    settings = data.Settings(job, times, rows, folder, threads, repeats, memory_rows)
    _measure(partial(data.run, settings), print_data, json_file)


@app.command()
def train(
    log: Annotated[Path | None, typer.Option("--data", help="Log of `recsys prepare kuairand`, read ten times; else a made one.")] = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of the made log.")] = 1_500_000,
    folder: Annotated[Path, typer.Option(help="Where the made log is kept.")] = Path("data/bench"),
    batch: Annotated[int, typer.Option(min=8, help="Rows a step, over all ranks together.")] = 4096,
    repeats: Annotated[int, typer.Option(min=1, help="Rounds over all settings.")] = 3,
    precisions: Annotated[str, typer.Option(metavar="A,B", help="`float32`, `bfloat16` or both.")] = "float32,bfloat16",
    processes: Annotated[str, typer.Option(metavar="N,N", help="Numbers of processes.")] = "1,2",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Time training under EMTL from parquet beside the same steps on one resident batch. It takes minutes a round."""
    wanted, numbers = tuple(precisions.split(",")), _numbers("--processes", processes)
    for precision in wanted:
        if precision not in ("float32", "bfloat16"):
            raise InputError(f"--precisions: {precision!r} is none of float32, bfloat16")
    quieten()
    from recsys.benchmarks import training
    from recsys.benchmarks.report import print_training

    settings = training.Settings(log, rows, folder, batch, repeats, wanted, numbers)
    _measure(partial(training.run, settings), print_training, json_file)


def _measure(
    run: Callable[[Callable[[str], None]], dict[str, Any]], show: Callable[[Console, dict[str, Any]], None], json_file: Path | None
) -> None:
    """Run a benchmark, which says how far it is, and show its result to people and machines."""
    from rich.console import Console

    with Console(stderr=True).status("starting") as status:
        result = run(status.update)
    show(Console(), result)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1) + "\n")


def _numbers(option: str, given: str) -> tuple[int, ...]:
    """Whole numbers above 0 with commas between them."""
    words = given.split(",") if given else []
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise InputError(f"{option}: {given!r} must be whole numbers above 0 with commas between them, such as 1,2")
    return tuple(map(int, words))
