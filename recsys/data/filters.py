"""Filters on the partitions of a log: `PATH where date >= 2022-05-01 and date < 2022-05-08`.

A filter compares the `column=value` folders of a path with fixed values, so files that don't match are never opened. It is read by the
small grammar below and nothing is evaluated:

    filter     := comparison ("and" comparison)*
    comparison := column ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") value | column "in" "(" value ("," value)* ")"
    value      := a date 2022-05-01 | an integer | 'text' | "text" | word

The value's type is the type of the comparison: dates as dates, integers as integers (`08` equals 8), anything else as text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import unquote

NULL = "__HIVE_DEFAULT_PARTITION__"  # what Hive and Spark write for a missing value; it matches nothing
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<date>\d{4}-\d{2}-\d{2})(?![\w-])|(?P<integer>-?\d+)(?![\w-])|'(?P<single>[^']*)'|\"(?P<double>[^\"]*)\""
    r"|(?P<sign>==|!=|<=|>=|=|<|>|\(|\)|,)|(?P<word>[A-Za-z_][\w-]*))"
)

Value = date | int | str
READERS: dict[type, Callable[[str], Value]] = {date: date.fromisoformat, int: int, str: str}


@dataclass(frozen=True)
class Comparison:
    """A partition column against a value, or with `in` against several of one type."""

    column: str
    sign: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.column} {self.sign} " + (f"({', '.join(map(str, self.values))})" if self.sign == "in" else str(self.values[0]))

    def admits(self, text: str) -> bool:
        """Whether the value of a partition folder fits. Raises ValueError when it is of another type."""
        if text == NULL:
            return False
        value = self._read(unquote(text))
        return value in self.values if self.sign == "in" else OPERATORS[self.sign](value, self.values[0])

    def _read(self, text: str) -> Value:
        kind = type(self.values[0])
        try:
            return READERS[kind](text)
        except ValueError:
            raise ValueError(f"{self.column}={text} is not {'a date' if kind is date else 'an integer'}, which `{self}` needs") from None


@dataclass(frozen=True)
class Filter:
    """Comparisons that must all hold; none at all admits everything."""

    comparisons: tuple[Comparison, ...] = ()

    def __str__(self) -> str:
        return " and ".join(map(str, self.comparisons))

    @property
    def columns(self) -> set[str]:
        """The partition columns it reads."""
        return {comparison.column for comparison in self.comparisons}

    def admits(self, partitions: Mapping[str, str]) -> bool:
        """Whether a folder's partitions fit, as far as they are known there. Raises ValueError for a value of another type."""
        return all(each.admits(partitions[each.column]) for each in self.comparisons if each.column in partitions)


def partitions_of(path: str) -> dict[str, str]:
    """The `column=value` folders of a path."""
    return {part.partition("=")[0]: part.partition("=")[2] for part in path.split("/") if "=" in part}


def split_where(given: str) -> tuple[str, Filter]:
    """The path and the filter of `PATH where FILTER`. Raises ValueError, in one line, for what is no filter."""
    path, where, text = given.partition(" where ")
    return path.strip(), parse_filter(text) if where else Filter()


def parse_filter(text: str) -> Filter:
    """The filter that a text stands for. Raises ValueError, in one line, when there is none."""
    tokens = _tokens(text)
    comparisons = [_comparison(tokens, text)]
    while tokens:
        kind, word = tokens.pop(0)
        if (kind, word) != ("word", "and"):
            raise _refusal(text, f"{word!r} stands where only `and` can join two comparisons")
        comparisons.append(_comparison(tokens, text))
    return Filter(tuple(comparisons))


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) of each word, value and sign."""
    tokens, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise _refusal(text, f"{text[position:].split()[0]!r} is neither a column, a sign nor a value")
        kind = match.lastgroup or ""
        tokens.append(("text" if kind in ("single", "double") else kind, match[kind]))
        position = match.end()
    return tokens


def _comparison(tokens: list[tuple[str, str]], text: str) -> Comparison:
    column, sign = _take(tokens, text, "a column", "word")[1], _take(tokens, text, "a sign such as >=", "sign", "word")[1]
    if sign in OPERATORS:
        return Comparison(column, sign, (_value(tokens, text),))
    if sign != "in" or not tokens or tokens.pop(0)[1] != "(":
        raise _refusal(text, f"{column!r} must be followed by a sign such as >= and a value, or by in (...)")
    values = [_value(tokens, text)]
    while (mark := _take(tokens, text, "`)`", "sign")[1]) == ",":
        values.append(_value(tokens, text))
    if mark != ")" or len({type(value) for value in values}) > 1:
        raise _refusal(text, "`in` takes values of one type in parentheses")
    return Comparison(column, "in", tuple(values))


def _value(tokens: list[tuple[str, str]], text: str) -> Value:
    kind, word = _take(tokens, text, "a value", "date", "integer", "text", "word")
    try:
        return date.fromisoformat(word) if kind == "date" else int(word) if kind == "integer" else word
    except ValueError:
        raise _refusal(text, f"there is no day {word}") from None


def _take(tokens: list[tuple[str, str]], text: str, what: str, *kinds: str) -> tuple[str, str]:
    """The next token, which must be of one of the kinds."""
    if not tokens or tokens[0][0] not in kinds:
        raise _refusal(text, f"{what} is missing " + (f"before {tokens[0][1]!r}" if tokens else "at the end"))
    return tokens.pop(0)


def _refusal(text: str, reason: str) -> ValueError:
    return ValueError(f"the filter `{text.strip()}` can't be read: {reason}; write such as `date >= 2022-05-01 and date < 2022-05-08`")
