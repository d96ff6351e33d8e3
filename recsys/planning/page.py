"""The plan of a job, as people read it in a terminal."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from recsys.planning.devices import RESERVE, readable
from recsys.planning.estimate import Estimate, spread
from recsys.planning.load import table_rows

TABLES_SHOWN, RANKS_SHOWN, BAR = 20, 16, 28
WORDS = {
    "tables": "tables",
    "optimizer": "row-wise Adagrad",
    "ids": "ids of managed rows",
    "lookups": "ids in, embeddings out",
    "dense": "dense, AdamW, DDP",
    "activations": "activations, gradients",
    "batches": "batches",
    "embeddings": "embeddings out",
    "gradients": "gradients in",
}
TRAFFIC_WORDS = WORDS | {"ids": "ids in", "dense": "dense gradients"}


def print_plan(console: Console, found: Estimate, advice: list[str]) -> None:
    """Tables, memory and traffic, the verdict and what to change."""
    _print_tables(console, table_rows(found.plan))
    _print_memory(console, found)
    _print_ranks(console, found)
    _print_traffic(console, found)
    _print_verdict(console, found, advice)


def _grid(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.HORIZONTALS, title_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    return table


def _print_tables(console: Console, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: (-row["bytes"], row["table"]))
    grid = _grid(f"{len(rows)} table(s), the largest first", "table", "sharding", "rows", "dimension", "bytes", "ranks")
    for row in rows[:TABLES_SHOWN]:
        values = (row["table"], row["sharding"], f"{row['rows']:,}", str(row["dimension"]), readable(row["bytes"]), _ranks(row["ranks"]))
        grid.add_row(*values)
    if left := rows[TABLES_SHOWN:]:
        kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(row["sharding"] for row in left).items())
        grid.add_row(f"{len(left)} more", kinds, "", "", readable(sum(row["bytes"] for row in left)), "")
    console.print(grid)


def _ranks(ranks: list[int]) -> str:
    """`3`, `0-63`, `0, 2, 5` or how many there are."""
    known = sorted(set(ranks))
    if len(known) > 2 and known[-1] - known[0] == len(known) - 1:
        return f"{known[0]}-{known[-1]}"
    return ", ".join(map(str, known)) if len(known) <= 4 else f"{len(known)} ranks"


def _print_memory(console: Console, found: Estimate) -> None:
    grid = _grid("memory of a rank", "", "min", "mean", "max", "max / mean")
    for part, values in found.memory.items():
        if values.any():
            _add_spread(grid, WORDS[part], values)
    grid.add_section()
    _add_spread(grid, "in all", found.total)
    console.print(grid)


def _add_spread(grid: Table, word: str, values: Any) -> None:
    of = spread(values)
    grid.add_row(word, *(readable(int(of[key])) for key in ("min", "mean", "max")), f"{of['imbalance']:.2f}")


def _print_ranks(console: Console, found: Estimate) -> None:
    """A bar a rank; the smallest, the median and the largest where there are many."""
    total = found.total
    order = np.argsort(total, kind="stable")
    many = len(total) > RANKS_SHOWN
    shown = [int(order[0]), int(order[len(order) // 2]), int(order[-1])] if many else range(len(total))
    names = ["min", "median", "max"] if many else [""] * len(total)
    full = max(found.devices.limit or 0, int(total.max())) or 1
    for name, rank in zip(names, shown, strict=True):
        filled = round(BAR * int(total[rank]) / full)
        over = found.devices.limit is not None and total[rank] > found.devices.limit
        bar = f"[{'red' if over else 'green'}]{'█' * filled}[/]{'░' * (BAR - filled)}"
        console.print(f" {name:>6} rank {rank:<5}{bar} {readable(int(total[rank])):>9}", highlight=False)
    if found.devices.limit is not None:
        told = (
            f"{readable(found.devices.limit)}: {readable(found.devices.memory or 0)} less {RESERVE:.0%} for driver, NCCL and fragmentation"
        )
        console.print(f" limit {told}", highlight=False)
    console.print()


def _print_traffic(console: Console, found: Estimate) -> None:
    grid = _grid("traffic of a rank in a step", "", "min", "mean", "max", "max / mean")
    for kind, values in found.traffic.items():
        _add_spread(grid, TRAFFIC_WORDS[kind], values)
    of = spread(found.load.lookups)
    grid.add_section()
    grid.add_row("ids looked up", *(f"{of[key]:,.0f}" for key in ("min", "mean", "max")), f"{of['imbalance']:.2f}")
    console.print(grid)
    devices = found.devices
    if devices.ranks > devices.local:
        away = (devices.ranks - devices.local) / (devices.ranks - 1)
        console.print(f" {away:.0%} of ids, embeddings and gradients go between machines of {devices.local} ranks\n", highlight=False)


def _print_verdict(console: Console, found: Estimate, advice: list[str]) -> None:
    if found.fits is None:
        console.print("give --hbm to see whether it fits")
    elif found.fits:
        console.print(
            f"[green]it fits[/]: {found.total.max() / (found.devices.limit or 1):.0%} of the limit on the largest rank", highlight=False
        )
    else:
        console.print("[red]it does not fit[/]; what to change:", highlight=False)
        for line in advice:
            console.print(f"- {line}", highlight=False, soft_wrap=True, markup=False)
