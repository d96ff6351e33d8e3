"""The scores that children kept of the test split, checked to be of the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys.config import Task
from recsys.errors import InputError
from recsys.evaluation.compare.table import ScoreTable, TaskRows
from recsys.study.outcome import Outcome, Scores


@dataclass(frozen=True)
class KeptScores:
    """The scores of outcomes that kept them; `outcomes` has one at least."""

    outcomes: Sequence[Outcome]
    tasks: Sequence[Task]

    @property
    def user(self) -> str | None:
        """The column by which rows are resampled."""
        return self._scores(self.outcomes[0]).user

    @cached_property
    def first(self) -> ScoreTable:
        """The table that all others must agree with."""
        return self._table(self.outcomes[0])

    def rows(self, task: Task) -> Iterator[TaskRows]:
        """A task's rows with the scores of each outcome in turn, with the first one's clusters.

        Raises InputError where an outcome's rows or labels are others than the first one's: their metrics could not be compared.
        """
        reference = self.first.task(task, [])
        for outcome in self.outcomes:
            run = self._scores(outcome).run
            own = self._table(outcome).task(task, [run])
            same = np.array_equal(own.rows, reference.rows) and np.array_equal(own.labels, reference.labels)
            if not (same and np.array_equal(own.clusters, reference.clusters)):
                raise InputError(
                    f"{self._scores(outcome).folder}: its rows, labels or users of {task.name} aren't those of "
                    f"{self._scores(self.outcomes[0]).folder}; children of one study are measured on the same test split"
                )
            yield own

    def _table(self, outcome: Outcome) -> ScoreTable:
        scores = self._scores(outcome)
        return ScoreTable(scores.folder, scores.user)

    def _scores(self, outcome: Outcome) -> Scores:
        assert outcome.scores is not None
        return outcome.scores
