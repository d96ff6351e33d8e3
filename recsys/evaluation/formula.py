"""Formulas over task scores, such as `ctr^0.7 * cvr^0.3 * log1p(dwell)`, by which a policy ranks.

    sum     = product { ("+" | "-") product }
    product = signed { ("*" | "/") signed }
    signed  = "-" signed | power
    power   = atom [ "^" signed ]                       so -a^2 is -(a^2), and a^b^c is a^(b^c)
    atom    = number | task | function "(" sum ")" | "(" sum ")"

A formula is read into a tree of the types below; nothing of it is ever run as code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InputError

Floats = NDArray[np.float64]
FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {"exp": np.exp, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt}
OPERATORS: dict[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "^": np.power,
}
DEPTH = 50  # of nested parentheses, signs and powers; Python's own limit lies far above
LENGTH = 1000  # characters

_TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*)|(?P<sign>[-+*/^()])|(?P<end>$))", re.A)


@dataclass(frozen=True)
class Number:
    """A constant."""

    value: float


@dataclass(frozen=True)
class Score:
    """The scores of a task."""

    task: str


@dataclass(frozen=True)
class Negative:
    """A change of sign."""

    operand: Node


@dataclass(frozen=True)
class Call:
    """One of `FUNCTIONS` of a part."""

    function: str
    argument: Node


@dataclass(frozen=True)
class Operation:
    """One of `OPERATORS` between two parts."""

    operator: str
    left: Node
    right: Node


Node = Number | Score | Negative | Call | Operation


@dataclass(frozen=True)
class Formula:
    """A parsed formula: its `text` as typed, its tree, and the tasks that it names, in order."""

    text: str
    tree: Node
    tasks: tuple[str, ...]

    def __call__(self, scores: Mapping[str, Floats]) -> Floats:
        """(n,) values from the (n,) scores of at least `tasks`, in float64; infinities are values.

        Raises:
            InputError: the formula has no value (NaN) in some row, such as the root of a negative score.
        """
        columns = {task: np.asarray(scores[task], np.float64) for task in self.tasks}
        with np.errstate(all="ignore"):
            values = _value(self.tree, columns)
        missing = np.isnan(values)
        if missing.any():
            row = int(missing.argmax())
            at = ", ".join(f"{task} = {column[row]:g}" for task, column in columns.items())
            raise InputError(
                f"formula {self.text!r} has no value in {int(missing.sum())} of {values.size} rows, first in row {row}, where {at}; "
                "change the formula, such as log1p(x) for log(x), or a power of x for one of -x"
            )
        return values


def parse(text: str, tasks: list[str]) -> Formula:
    """Read a formula over the scores of `tasks`.

    Raises:
        InputError: with the place, when it isn't one, or names no task or one that is not among `tasks`, with the nearest.
    """
    if len(text) > LENGTH:
        raise InputError(f"formula {text[:60]!r}...: {len(text)} characters are more than {LENGTH}; write it shorter")
    parser = _Parser(text, tasks)
    tree = parser.sum()
    if parser.kind != "end":
        parser.refuse("an operator")
    if not parser.named:
        raise InputError(f"formula {text!r}: names no task, so it ranks nothing; tasks are {', '.join(tasks)}")
    return Formula(text, tree, tuple(parser.named))


class _Parser:
    """Recursive descent, one method a rule of the grammar; `kind` and `token` are what comes next."""

    def __init__(self, text: str, tasks: list[str]) -> None:
        self.text, self.tasks = text, tasks
        self.named: dict[str, None] = {}
        self._place, self._depth = 0, 0
        self.kind, self.token, self._start = "end", "", 0
        self._advance()

    def sum(self) -> Node:
        tree = self._product()
        while self.token in ("+", "-"):
            tree = Operation(self._take(), tree, self._product())
        return tree

    def _product(self) -> Node:
        tree = self._signed()
        while self.token in ("*", "/"):
            tree = Operation(self._take(), tree, self._signed())
        return tree

    def _signed(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH:
            raise InputError(f"formula {self.text[:60]!r}...: nested deeper than {DEPTH} levels; write it flatter")
        tree = Negative(self._signed()) if self._skip("-") else self._power()
        self._depth -= 1
        return tree

    def _power(self) -> Node:
        base = self._atom()
        return Operation(self._take(), base, self._signed()) if self.token == "^" else base

    def _atom(self) -> Node:
        if self.kind == "number":
            return Number(float(self._take()))
        if self.kind == "name":
            return self._named()
        if not self._skip("("):
            self.refuse("a number, a task or '('")
        return self._until_closed()

    def _named(self) -> Node:
        name, start = self.token, self._start
        self._advance()
        if self._skip("("):
            if name not in FUNCTIONS:
                self._unknown(name, start, "function", list(FUNCTIONS))
            return Call(name, self._until_closed())
        if name not in self.tasks:
            self._unknown(name, start, "task", self.tasks)
        self.named[name] = None
        return Score(name)

    def _until_closed(self) -> Node:
        tree = self.sum()
        if not self._skip(")"):
            self.refuse("an operator or ')'")
        return tree

    def _take(self) -> str:
        token = self.token
        self._advance()
        return token

    def _skip(self, sign: str) -> bool:
        found = self.kind == "sign" and self.token == sign
        if found:
            self._advance()
        return found

    def _advance(self) -> None:
        match = _TOKEN.match(self.text, self._place)
        if match is None:
            at = re.compile(r"\s*").match(self.text, self._place).end()  # type: ignore[union-attr]
            raise InputError(f"formula {self.text!r}: {self.text[at]!r} at character {at + 1} has no meaning; use + - * / ^ ( )")
        self.kind = str(match.lastgroup)
        self.token, self._start, self._place = match[self.kind], match.start(self.kind), match.end()

    def refuse(self, expected: str) -> None:
        found = "it ends" if self.kind == "end" else f"{self.token!r} stands"
        raise InputError(f"formula {self.text!r}: expected {expected} at character {self._start + 1}, where {found}")

    def _unknown(self, name: str, start: int, what: str, known: list[str]) -> None:
        nearest = get_close_matches(name, known, n=1, cutoff=0.0)
        hint = f"; the nearest is {nearest[0]!r}, known are {', '.join(known)}" if nearest else ""
        raise InputError(f"formula {self.text!r}: no {what} {name!r} (at character {start + 1}){hint}")


def _value(node: Node, scores: Mapping[str, Floats]) -> Floats:
    match node:
        case Number(value):
            return np.float64(value)  # type: ignore[return-value]
        case Score(task):
            return scores[task]
        case Negative(operand):
            return -_value(operand, scores)
        case Call(function, argument):
            return FUNCTIONS[function](_value(argument, scores))
        case Operation(operator, left, right):
            return OPERATORS[operator](_value(left, scores), _value(right, scores))
