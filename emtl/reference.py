"""The table of all strategies in Markdown; `python -m emtl.reference FILE` puts it between the markers of a document."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from emtl.strategy import _found, names, options

BEGIN, END = "<!-- strategies -->\n", "<!-- /strategies -->"


def table() -> str:
    """A row a strategy: name, what the first line of its docstring says, options with their defaults, what it needs."""
    return "\n".join(["| name | what it does | options | needs |", "| --- | --- | --- | --- |", *map(_row, names())]) + "\n"


def updated(document: str) -> str:
    """`document` with the current table between its markers; ValueError if it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document has no lines {BEGIN.strip()!r} and {END!r}")
    return before + begin + table() + end + after


def _row(name: str) -> str:
    strategy = _found(name)
    first = inspect.cleandoc(strategy.__doc__ or "").partition("\n")[0].replace("|", "\\|")
    known = ", ".join(_option(option, default) for option, default in options(name).items())
    return f"| `{name}` | {first} | {known} | {strategy.needs.value} |"


def _option(name: str, default: object) -> str:
    return f"`{name}`" if default is inspect.Parameter.empty else f"`{name}={default!r}`"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text()))
