"""`recsys config`: look at a configuration, its schema and its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Show a resolved configuration, its JSON schema, or the reference of all keys.", no_args_is_help=True)


@app.command()
def show(
    config: Annotated[Path, typer.Argument(help="YAML file.")],
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override, such as train.epochs=1.")] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it for machines.")] = None,
) -> None:
    """Print the configuration with every default filled in."""
    from recsys.config_file import dump_config, load_config

    resolved = load_config(config, overrides)
    typer.echo(dump_config(resolved), nl=False)
    if json_file is not None:
        json_file.write_text(resolved.model_dump_json(indent=1) + "\n")


@app.command()
def schema() -> None:
    """Print the JSON schema, which editors use to complete and check the YAML files."""
    from recsys.config_file import json_schema

    typer.echo(json_schema(), nl=False)


@app.command()
def reference() -> None:
    """Print the reference of all keys in Markdown."""
    from recsys.config_reference import reference

    typer.echo(reference(), nl=False)
