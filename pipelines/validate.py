"""`recsys validate`: whether a log can be trained on, and what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from recsys.errors import InputError


def validate(
    config: Annotated[Path, typer.Argument(help="YAML file of the job, such as configs/demo.yaml.")],
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override, such as data.train=FOLDER.")] = [],  # noqa: B006
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Look at every row of the logs of CONFIG before anything is trained: labels, times, columns, repeats, leakage, damage."""
    from rich.console import Console

    from pipelines.summary import progress_bar
    from recsys.config_file import load_config
    from recsys.data.validation.page import print_validation
    from recsys.data.validation.quick import check_quickly
    from recsys.data.validation.record import record
    from recsys.data.validation.validate import check_rows

    validation = check_quickly(load_config(config, overrides))
    rows = sum(footers.source.rows for footers in validation.footers.values())
    with progress_bar("validating", rows) as advance:
        check_rows(validation, advance)
    print_validation(Console(), validation)
    if json_file is not None:
        json_file.write_text(json.dumps(record(validation), indent=1) + "\n")
    if errors := validation.found.errors:
        raise InputError("\n".join(errors))
    print("no errors" + (f", {len(validation.found.warnings)} warning(s)" if validation.found.warnings else ""))
