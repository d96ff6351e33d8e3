"""`recsys generate`: a synthetic log whose best reachable metrics are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    output: Annotated[Path, typer.Option(help="Folder of the log; an earlier log there is replaced.")],
    rows: Annotated[int, typer.Option(help="Impressions.")] = 200_000,
    users: Annotated[int, typer.Option(help="Users.")] = 2_000,
    items: Annotated[int, typer.Option(help="Items.")] = 1_000,
    days: Annotated[int, typer.Option(help="Days: the first 80 % train, then valid, then test.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same log.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the description of the log, as JSON.")] = None,
) -> None:
    """Generate a log of impressions with clicks, conversions and dwell times."""
    from pipelines.summary import progress_bar, summarise
    from recsys.data.synthetic import Spec
    from recsys.data.synthetic import generate as write_log

    spec = Spec(rows=rows, users=users, items=items, days=days, seed=seed)
    with progress_bar("generating", rows) as advance:
        schema = write_log(spec, output, advance)
    summarise(output, schema, json_file)
