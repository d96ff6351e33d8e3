"""`recsys prepare`: public data sets as logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Turn public data sets into logs.", no_args_is_help=True)

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
