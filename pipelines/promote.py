"""`recsys promote`: a candidate becomes a registered model with its evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def promote(
    candidate: Annotated[str, typer.Argument(help="runs:/ID, models:/NAME/VERSION, models:/NAME@ALIAS, or the folder of a tracked run.")],
    name: Annotated[str, typer.Option(help="Registered model; created when there is none.")],
    alias: Annotated[str, typer.Option(help="Alias that shall point to the candidate.")] = "champion",
    evaluation: Annotated[
        str | None, typer.Option(metavar="DIR|runs:/ID", help="Evaluation to go by; the newest of this candidate in MLflow when left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also when the verdict was `worse`, or there is none.")] = False,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Register CANDIDATE's model in MLflow with its evaluation, and let an alias point to it."""
    from rich.console import Console

    from recsys.tracking import promotion
    from recsys.tracking.models import tracking_uri as uri_of

    done = promotion.promote(candidate, name, alias, uri_of(tracking_uri), evaluation=evaluation, force=force)
    console = Console()
    before = f", which was version {done.previous}" if done.previous and done.previous != done.version else ""
    console.print(f"models:/{name}@{alias} is version {done.version} (run {done.run_id}){before}", highlight=False, soft_wrap=True)
    said = f"verdict: {done.verdict}, by evaluation {done.evaluation}" if done.evaluation else "verdict: none"
    console.print(said, highlight=False, soft_wrap=True)
    for note in done.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(done.to_json(), indent=1) + "\n")
