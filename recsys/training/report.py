"""What a finished job says: a table for people, a flat object for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recsys.config import Task

# Metric -> how it is shown.
SHOWN = {
    "auc": ("AUC", "{:.4f}"),
    "log_loss": ("log loss", "{:.4f}"),
    "calibration": ("calibration: predicted / observed", "{:.3f}"),
    "rmse_log1p": ("RMSE of log(1 + seconds)", "{:.4f}"),
    "rmse": ("RMSE, seconds", "{:.1f}"),
    "mae": ("MAE, seconds", "{:.1f}"),
    "spearman": ("Spearman", "{:.3f}"),
    "xauc": ("XAUC", "{:.3f}"),
    "rows": ("rows", "{:,.0f}"),
    "positives": ("positives", "{:,.0f}"),
}


def print_metrics(console: Console, title: str, metrics: dict[str, float], tasks: Sequence[Task]) -> None:
    """Print a column a task and a row a metric of metrics keyed `TASK/METRIC`; what a kind of task doesn't have stays empty."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("")
    for task in tasks:
        table.add_column(task.name, justify="right", no_wrap=True)
    for metric, (heading, form) in SHOWN.items():
        values = [metrics.get(f"{task.name}/{metric}") for task in tasks]
        if any(value is not None for value in values):
            table.add_row(heading, *("" if value is None else form.format(value) for value in values))
    console.print(f"\n{title}", style="bold", highlight=False)
    console.print(table)
    for task in tasks:
        if task.kind == "duration":
            console.print(f"  a positive of {task.name} is longer than {task.threshold:g} s", highlight=False)


def for_machines(metrics: dict[str, float]) -> dict[str, float | None]:
    """The metrics with None for NaN, which JSON doesn't have."""
    return {name: None if math.isnan(value) else value for name, value in metrics.items()}


def with_split(split: str, metrics: dict[str, float]) -> dict[str, Any]:
    """The metrics with their split in front: `test/ctr/auc`."""
    return {f"{split}/{name}": value for name, value in metrics.items()}
