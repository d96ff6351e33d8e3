"""What a validation has to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line. An `error` keeps a job from starting, a `warning` is for a person to judge; `check` names the family it comes from."""

    level: Literal["error", "warning"]
    check: str
    message: str


@dataclass
class Findings:
    """Lines in the order in which they were found, each once."""

    lines: list[Finding] = field(default_factory=list)

    def error(self, check: str, message: str) -> None:
        """Note what keeps a job from starting."""
        self._add(Finding("error", check, message))

    def warning(self, check: str, message: str) -> None:
        """Note what a person should look at."""
        self._add(Finding("warning", check, message))

    @property
    def errors(self) -> list[str]:
        """The messages of the errors."""
        return self._of("error")

    @property
    def warnings(self) -> list[str]:
        """The messages of the warnings."""
        return self._of("warning")

    def _of(self, level: str) -> list[str]:
        return [line.message for line in self.lines if line.level == level]

    def _add(self, line: Finding) -> None:
        if line not in self.lines:
            self.lines.append(line)


def some(words: Iterable[str], most: int = 3) -> str:
    """The first few of several words, and how many there are beside: `a, b and 4 more`."""
    every = list(words)
    rest = len(every) - most
    return ", ".join(every[:most]) + (f" and {rest} more" if rest > 0 else "")
