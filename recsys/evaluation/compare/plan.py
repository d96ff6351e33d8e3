"""What is asked of an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recsys.config import Task
from recsys.errors import InputError
from recsys.evaluation.comparison import Candidate

DECIDING = {"binary": "auc", "duration": "rmse_log1p"}


@dataclass(frozen=True)
class Contender:
    """A candidate and its runs by seed: names of score columns, and seeds (None for scores from elsewhere)."""

    candidate: Candidate
    runs: tuple[str, ...]
    seeds: tuple[int | None, ...]

    @property
    def name(self) -> str:
        """The candidate's."""
        return self.candidate.name


@dataclass(frozen=True)
class Plan:
    """Which contenders are compared with which on what, and how sure one wants to be.

    margins: by task. guardrails: tasks that must not become worse. group, time, request, duration: columns of the log, None where there
    is none. slices: columns whose values are looked at one by one. at: places k of recall and NDCG in a request.
    """

    tasks: Sequence[Task]
    contenders: Sequence[Contender]
    baseline: str
    margins: Mapping[str, float]
    guardrails: frozenset[str]
    slices: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    request: str | None = None
    duration: str | None = None
    at: tuple[int, ...] = (10,)
    replicates: int = 1000
    seed: int = 0
    threads: int = 2
    advance: Callable[[], object] = lambda: None

    @property
    def runs(self) -> list[str]:
        """Of all contenders."""
        return [run for contender in self.contenders for run in contender.runs]

    @property
    def challengers(self) -> list[Contender]:
        """All but the baseline."""
        return [contender for contender in self.contenders if contender.name != self.baseline]

    @property
    def reference(self) -> Contender:
        """The baseline."""
        return next(contender for contender in self.contenders if contender.name == self.baseline)

    def pairs(self, challenger: Contender) -> list[tuple[str, str, int]]:
        """(its run, the baseline's run, seed) of each pair that differs in nothing but the candidate; empty where both have one run.

        Raises InputError when both have several and their seeds differ.
        """
        reference = self.reference
        if len(challenger.runs) == len(reference.runs) == 1:
            return []
        if len(reference.runs) == 1:
            return [(run, reference.runs[0], seed or 0) for run, seed in zip(challenger.runs, challenger.seeds, strict=True)]
        if len(challenger.runs) == 1:
            return [(challenger.runs[0], run, seed or 0) for run, seed in zip(reference.runs, reference.seeds, strict=True)]
        if challenger.seeds != reference.seeds:
            seeds = [", ".join(map(str, contender.seeds)) for contender in (challenger, reference)]
            raise InputError(
                f"candidate {challenger.name!r} has seeds {seeds[0]} and {reference.name!r} {seeds[1]}: "
                "runs are compared seed by seed, so give both the same seeds, or one of them a single run"
            )
        return [(own, other, seed or 0) for own, other, seed in zip(challenger.runs, reference.runs, challenger.seeds, strict=True)]
