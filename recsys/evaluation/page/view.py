"""What every section of the page asks a comparison for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from recsys.evaluation.comparison import Comparison, Curve, Difference, Estimate, Slice, Verdict
from recsys.evaluation.page.digits import decimals_of

SYMBOLS: dict[Verdict, str] = {"better": "▲", "worse": "▼", "inconclusive": "◆"}
LEVEL = 0.05  # of significance, after correction


@dataclass(frozen=True)
class View:
    """A comparison by candidate, task, metric and slice."""

    comparison: Comparison

    @cached_property
    def names(self) -> list[str]:
        """Candidates, the baseline first."""
        others = [candidate.name for candidate in self.comparison.candidates if candidate.name != self.comparison.baseline]
        return [self.comparison.baseline, *others]

    @property
    def challengers(self) -> list[str]:
        """All candidates but the baseline."""
        return self.names[1:]

    @cached_property
    def series(self) -> dict[str, int]:
        """The number of each candidate's colour and marker."""
        return {name: number for number, name in enumerate(self.names)}

    @cached_property
    def slices(self) -> list[Slice]:
        """Slices in the order in which they first appear."""
        places = [*(part.slice for part in self.comparison.differences), *(part.slice for part in self.comparison.estimates)]
        return list(dict.fromkeys(place for place in places if place is not None))

    def estimate(self, candidate: str, task: str, metric: str, where: Slice | None = None) -> Estimate | None:
        """A metric, where it was measured."""
        return self._estimates.get((candidate, task, metric, where))

    def difference(self, candidate: str, task: str, metric: str, where: Slice | None = None) -> Difference | None:
        """A difference to the baseline, where it was measured."""
        return self._differences.get((candidate, task, metric, where))

    def decimals(self, task: str, metric: str) -> int:
        """Decimals that show two digits of every challenger's interval of a difference."""
        parts = [self.difference(candidate, task, metric) for candidate in self.challengers]
        return max((decimals_of(part.low, part.high, part.difference) for part in parts if part is not None), default=4)

    def curves(self, kind: str, task: str) -> Sequence[tuple[int, Curve]]:
        """A task's curves of a kind with their candidates' numbers, the baseline below the others."""
        found = [(self.series[curve.candidate], curve) for curve in self.comparison.curves if (curve.kind, curve.task) == (kind, task)]
        return sorted(found, key=lambda item: item[0])

    @cached_property
    def _estimates(self) -> dict[tuple[str, str, str, Slice | None], Estimate]:
        return {(part.candidate, part.task, part.metric, part.slice): part for part in self.comparison.estimates}

    @cached_property
    def _differences(self) -> dict[tuple[str, str, str, Slice | None], Difference]:
        return {(part.candidate, part.task, part.metric, part.slice): part for part in self.comparison.differences}
