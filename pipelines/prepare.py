"""`recsys prepare`: public data sets as logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import InputError

app = typer.Typer(help="Turn public data sets into logs, and logs into harder ones.", no_args_is_help=True)

Output = Annotated[Path, typer.Option(help="Folder of the log; an earlier log there is replaced.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="File for the description of the log, as JSON.")]


@app.command()
def kuairand(
    source: Annotated[Path, typer.Option(help="Folder of KuaiRand-Pure: the official CSV files, or the parquet files made of them.")],
    output: Output,
    json_file: JsonFile = None,
) -> None:
    """KuaiRand-Pure: short-video impressions with clicks, engagement and watch time, and what was known before each."""
    from pipelines.summary import progress_bar, summarise
    from recsys.data.kuairand import prepare

    with progress_bar("preparing", None):
        schema = prepare(source, output)
    summarise(output, schema, json_file)


@app.command()
def census(
    source: Annotated[Path, typer.Option(help="census_income_kdd.parquet, or the folder that holds it.")],
    output: Output,
    json_file: JsonFile = None,
) -> None:
    """Census-Income (KDD): the benchmark of the MMoE and PLE papers."""
    from pipelines.summary import progress_bar, summarise
    from recsys.data.census import prepare

    with progress_bar("preparing", None):
        schema = prepare(source, output)
    summarise(output, schema, json_file)


@app.command()
def stress(
    source: Annotated[Path, typer.Option(help="Folder of a log that `recsys prepare` or `recsys generate` wrote.")],
    output: Output,
    flip: Annotated[list[str], typer.Option(metavar="LABEL=SHARE", help="Turn a label round in a share of train and valid.")] = [],  # noqa: B006
    opposite: Annotated[list[str], typer.Option(metavar="NEW=LABEL", help="Add 1 - LABEL as a label. Repeatable.")] = [],  # noqa: B006
    seed: Annotated[int, typer.Option(min=0, help="Of the rows that are turned round.")] = 0,
    json_file: JsonFile = None,
) -> None:
    """Another log with noise in a label or with labels that contradict each other, to put strategies to the test."""
    from pipelines.summary import progress_bar, summarise
    from recsys.data.stress import Stress, derive

    shares = {name: _share(name, value) for name, value in _pairs("--flip", flip)}
    with progress_bar("deriving", None):
        schema = derive(source, output, Stress(shares, dict(_pairs("--opposite", opposite)), seed))
    summarise(output, schema, json_file)


def _pairs(option: str, given: list[str]) -> list[tuple[str, str]]:
    pairs = [tuple(text.split("=")) for text in given]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise InputError(f"{option} {given}: must have the form NAME=VALUE, such as --flip click=0.2 or --opposite no_click=click")
    return [(pair[0], pair[1]) for pair in pairs]


def _share(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"--flip {name}={value}: must be a share between 0 and 1") from None
