"""What a finished job says: a table for people, a flat object for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from recsys.config import Task

# (metric, heading, format) by kind of task; a table each, because they have little in common and a terminal has 80 columns.
COLUMNS = {
    "binary": (
        ("auc", "AUC", "{:.4f}"),
        ("log_loss", "log loss", "{:.4f}"),
        ("calibration", "calibration", "{:.3f}"),
        ("rows", "rows", "{:,.0f}"),
        ("positives", "positives", "{:,.0f}"),
    ),
    "duration": (
        ("auc", "AUC", "{:.4f}"),
        ("rmse_log1p", "RMSE log1p", "{:.4f}"),
        ("rmse", "RMSE s", "{:.1f}"),
        ("mae", "MAE s", "{:.1f}"),
        ("spearman", "Spearman", "{:.3f}"),
        ("xauc", "XAUC", "{:.3f}"),
        ("rows", "rows", "{:,.0f}"),
    ),
}


def print_metrics(console: Console, title: str, metrics: dict[str, float], tasks: Sequence[Task]) -> None:
    """Print a table for each kind of task, with a row a task, of metrics keyed `TASK/METRIC`."""
    console.print(f"\n{title}", style="bold", highlight=False)
    for kind, columns in COLUMNS.items():
        shown = [task for task in tasks if task.kind == kind]
        if shown:
            console.print(_table(columns, shown, metrics))
    for task in tasks:
        if task.kind == "duration":
            console.print(f"AUC of {task.name}: longer than {task.threshold:g} s against not", highlight=False)


def _table(columns: Sequence[tuple[str, str, str]], tasks: Sequence[Task], metrics: dict[str, float]) -> Table:
    table = Table()
    table.add_column("task", no_wrap=True)
    for _, heading, _ in columns:
        table.add_column(heading, justify="right", no_wrap=True)
    for task in tasks:
        table.add_row(task.name, *(form.format(metrics[f"{task.name}/{metric}"]) for metric, _, form in columns))
    return table


def for_machines(metrics: dict[str, float]) -> dict[str, float | None]:
    """The metrics with None for NaN, which JSON doesn't have."""
    return {name: None if math.isnan(value) else value for name, value in metrics.items()}


def with_split(split: str, metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics with their split in front: `test/ctr/auc`."""
    return {f"{split}/{name}": value for name, value in metrics.items()}
