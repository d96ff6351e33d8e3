"""What a person and a machine read once a log is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recsys.data.schema import Schema


@contextmanager
def progress_bar(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error; the value is told of each number of rows done. `total` None shows that work goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), *([MofNCompleteColumn()] if total else []), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda rows: progress.advance(task, rows)


def summarise(output: Path, schema: Schema, json_file: Path | None) -> None:
    """Print the splits of a log as a table, and write its description to `json_file`."""
    from rich.console import Console
    from rich.table import Table

    names = [name for name in ("train", "valid", "test") if name in schema.splits]
    splits = [schema.splits[name] for name in names]
    table = Table(title=f"{output}: {schema.name}, {len(schema.columns)} columns")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    table.add_row("rows", *(f"{split.rows:,}" for split in splits))
    for label in schema.of_kind("label"):
        table.add_row(f"mean {label}", *(f"{split.rates[label]:.4f}" for split in splits))
    for metric in splits[0].best if splits else []:
        table.add_row(f"best {metric}", *(f"{split.best[metric]:.4f}" for split in splits))
    console = Console()
    console.print(table)
    if schema.duplicates_dropped:
        console.print(f"exact repeats dropped: {schema.duplicates_dropped:,}")
    if json_file is not None:
        json_file.write_text(json.dumps({"output": str(output), **schema.model_dump()}, indent=2) + "\n", encoding="utf-8")
