"""What a person reads of a validation."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from recsys.data.validation.record import record
from recsys.data.validation.validate import Validation

DAYS = 31  # rows of the table of days; of more, the first and last
COLLISIONS = 0.1  # share of ids in one bucket with another, from which on a larger table is advised


def print_validation(console: Console, validation: Validation) -> None:
    """Tables of splits, labels, days and columns, then the warnings. Errors are told by whoever ends the command."""
    content = record(validation)
    _print_splits(console, content["splits"])
    if content["labels"]:
        _print_labels(console, validation, content["labels"])
        _print_days(console, validation, content["labels"])
    if content["columns"]:
        _print_columns(console, content["columns"])
    for warning in content["warnings"]:
        console.print(f"warning: {warning}", highlight=False, soft_wrap=True)


def _print_splits(console: Console, splits: dict[str, Any]) -> None:
    table = _table("splits", ("split", "rows", "files", "row groups", "MB", "from (UTC)", "to", "repeats"), left={0, 3})
    for name, split in splits.items():
        repeats = "" if split["repeats"] is None else f"{split['repeats']:,}"
        times = (split["from"] or "", split["to"] or "")
        table.add_row(
            name, f"{split['rows']:,}", f"{split['files']:,}", split["row_groups"], f"{split['bytes'] / 1e6:,.1f}", *times, repeats
        )
    console.print(table)


def _print_labels(console: Console, validation: Validation, labels: dict[str, list[dict[str, Any]]]) -> None:
    table = _table("labels", ("task", "split", "rows", "labelled", "in its space", "positive", "rate", "mean", "outside"), left={0, 1})
    for task in validation.config.tasks:
        for split, rates in labels.items():
            row = next(row for row in rates if row["task"] == task.name and row["day"] == "all")
            mean = f"{row['mean']:.2f}" if task.kind == "duration" else ""
            counts = (f"{row[key]:,}" for key in ("rows", "labelled", "space", "positives"))
            table.add_row(task.name, split, *counts, f"{row['rate']:.4f}", mean, f"{row['outside']:,}" if row["outside"] else "")
    console.print(table)
    if any(task.kind == "duration" for task in validation.config.tasks):
        console.print("  a positive of a duration is longer than its threshold; mean in seconds", highlight=False)


def _print_days(console: Console, validation: Validation, labels: dict[str, list[dict[str, Any]]]) -> None:
    names = [task.name for task in validation.config.tasks]
    table = _table("rates by day", ("day", "split", "rows", *names), left={0, 1})
    rows = []
    for split, rates in labels.items():
        days = list(dict.fromkeys(row["day"] for row in rates if row["day"] not in ("all", "unknown")))
        for day in days:
            of_day = {row["task"]: row for row in rates if row["day"] == day}
            rows.append((day, split, f"{of_day[names[0]]['rows']:,}", *(f"{of_day[name]['rate']:.4f}" for name in names)))
    shown = rows if len(rows) <= DAYS else [*rows[: DAYS // 2], ("...", *[""] * (2 + len(names))), *rows[-(DAYS // 2) :]]
    for row in shown:
        table.add_row(*row)
    if rows:
        console.print(table)


def _print_columns(console: Console, columns: list[dict[str, Any]]) -> None:
    """The columns of which there is something to say beside how many values they have."""
    headings = ("column", "missing", "values", "list", "buckets", "collisions", "advice")
    table = _table("columns of the training split", headings, left={0, 6})
    told = [column for column in columns if column["missing"] or column["longest_list"] or column["buckets"] or _advice(column)]
    for column in told:
        hashed = column["buckets"] is not None
        table.add_row(
            column["column"],
            f"{column['missing']:.1%}" if column["missing"] else "",
            f"{column['distinct']:,}",
            f"{column['longest_list']:,}" if column["longest_list"] else "",
            f"{column['buckets']:,}" if hashed else "",
            f"{column['collisions']:.1%}" if hashed else "",
            _advice(column),
        )
    if told:
        console.print(table)
    if rest := len(columns) - len(told):
        console.print(f"  {rest} {'more ' if told else ''}columns miss nothing; --json tells of each", highlight=False)
    console.print("  values: different ones, within 1 %; list: the longest; collisions: ids in one bucket with another", highlight=False)


def _advice(column: dict[str, Any]) -> str:
    if column["collisions"] is not None and column["collisions"] > COLLISIONS:
        return "more buckets"
    if column["distinct"] <= 1:
        return "one value: leave out"
    return "mostly missing" if column["missing"] > 0.95 else ""


def _table(title: str, headings: tuple[str, ...], left: set[int]) -> Table:
    table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="left" if position in left else "right", overflow="fold", no_wrap=not position)
    return table
