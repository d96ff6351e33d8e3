"""What a study found: everything that its table, page, figures, CSV and `results.json` show, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from recsys.config import Task
from recsys.evaluation.compare.plan import DECIDING
from recsys.evaluation.comparison import Verdict
from recsys.evaluation.names import higher_is_better
from recsys.files import read_model, write_whole

FIGURES = ("seconds_per_step", "cpu_seconds_per_step", "samples_per_second", "peak_memory", "conflict", "contribution_variance")
DELTA_M = "delta_m"  # stands where a task's name does, of the difference over all tasks
Number = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A number, null in JSON where there is none."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyTask(_Part):
    """A task and the metric that decides on it."""

    name: str
    kind: Literal["binary", "duration"]
    metric: str
    higher_is_better: bool


def study_task(task: Task) -> StudyTask:
    """A configured task with its deciding metric."""
    metric = DECIDING[task.kind]
    return StudyTask(name=task.name, kind=task.kind, metric=metric, higher_is_better=higher_is_better(metric))


class Spread(_Part):
    """A figure over training seeds: mean, standard deviation (n - 1; null of a single seed), and each seed's value."""

    mean: Number
    deviation: Number
    values: list[Number]


class Estimate(_Part):
    """A mean over seeds with its 95 % interval, which holds the spread over seeds and that over rows; null where there is none."""

    value: Number
    low: Number
    high: Number


class Entry(_Part):
    """A line of the table: a strategy with one setting on one architecture, over its seeds.

    name: unique in the group. setting: overrides beyond the configuration. tried: settings of this strategy among which it was chosen on
    valid, itself included. search_trainings: that this took. test, valid: each task's deciding metric. delta_m: per cent, to the group's
    `reference`. mean_rank: over blocks of task and seed, 1 is best; null for what isn't ranked. better, worse: tasks on which it differs
    from `equal` beyond doubt. seeds_won, blocks: of how many blocks of task and seed its metric is better than that of `equal` (a tie is
    half). step_cost, cpu_step_cost: seconds, and processor seconds, a step relative to `equal` with the same seed, geometric means over
    seeds. Means over seeds: seconds a step, samples a second, peak_memory in bytes, conflict and contribution_variance. on_front: no
    other entry is at least as good on each task's mean and better on one.
    """

    name: str
    strategy: str
    setting: dict[str, Any]
    seeds: list[int]
    tried: int
    search_trainings: int
    test: dict[str, Spread]
    valid: dict[str, Spread]
    delta_m: Estimate
    mean_rank: Number
    better: list[str]
    worse: list[str]
    seeds_won: Number
    blocks: int
    step_cost: Number
    cpu_step_cost: Number
    seconds_per_step: Number
    cpu_seconds_per_step: Number
    samples_per_second: Number
    peak_memory: Number
    conflict: Number
    contribution_variance: Number
    on_front: bool
    run_ids: list[str]


class PairedDifference(_Part):
    """An entry's metric minus that of `reference`, run by run of the same seed, on the same rows.

    task: a task's name, or `delta_m` for the difference in that (per cent). low, high: 95 % interval of the mean, which holds both
    deviations. p: two-sided; p_holm: corrected over all entries and tasks against this reference (delta_m is a family of its own).
    seeds_deviation: over seeds; rows_deviation: standard error that the rows leave. detectable: the true difference that would be found
    after correction, at worst, with 80 % power; seeds_needed: seeds with which one of this size would be, null where none would do.
    """

    entry: str
    reference: str
    task: str
    seeds: list[int]
    differences: list[Number]
    mean: Number
    low: Number
    high: Number
    p: Number
    p_holm: Number
    seeds_deviation: Number
    rows_deviation: Number
    detectable: Number
    seeds_needed: int | None
    verdict: Verdict


class Ranking(_Part):
    """Mean ranks of the ranked entries over blocks of task and seed, with Friedman's test and Nemenyi's critical difference.

    alike: groups of entries whose mean ranks span no more than that. left_out: entries that lack seeds which others have.
    """

    entries: list[str]
    mean_ranks: list[Number]
    blocks: int
    statistic: Number
    p: Number
    critical_difference: Number
    alike: list[list[str]]
    left_out: list[str]


class Group(_Part):
    """The entries of one architecture, which are compared with each other.

    reference: of delta-m, `single` where the study has it, else `equal`. rival: the entry that is best on valid by mean delta-m (None
    where there is none); runner_up: the second, with which the rival itself is compared. conclusion: sentences.
    """

    architecture: str
    entries: list[Entry]
    reference: str | None
    rival: str | None
    runner_up: str | None
    differences: list[PairedDifference]
    ranking: Ranking
    conclusion: list[str]

    def entry(self, name: str) -> Entry:
        """By its name."""
        return next(entry for entry in self.entries if entry.name == name)

    def of_strategy(self, strategy: str) -> str | None:
        """The name of the first entry of a strategy."""
        return next((entry.name for entry in self.entries if entry.strategy == strategy), None)

    def difference(self, entry: str, reference: str, task: str) -> PairedDifference | None:
        """Where both have a seed in common."""
        wanted = (entry, reference, task)
        return next((part for part in self.differences if (part.entry, part.reference, part.task) == wanted), None)


class Findings(_Part):
    """One study.

    rows, clusters: of the test split that children kept scores of, 0 where none did. cluster: the column they were resampled by.
    missing, failed: names of children. notes: on how the study was made.
    """

    study: str
    command: str
    created: str
    versions: dict[str, str]
    tasks: list[StudyTask]
    rows: int
    clusters: int
    cluster: str | None
    replicates: int
    groups: list[Group]
    missing: list[str]
    failed: list[str]
    notes: list[str]
    warnings: list[str]

    @property
    def conclusion(self) -> list[str]:
        """All groups' sentences, below the architecture's name where there are several."""
        return [sentence for group in self.groups for sentence in self._titled(group)]

    def _titled(self, group: Group) -> Sequence[str]:
        return [f"{group.architecture}:", *group.conclusion] if len(self.groups) > 1 else group.conclusion

    def save(self, path: Path) -> None:
        """Write JSON, whole or not at all."""
        write_whole(path, self.model_dump_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Findings:
        """Read what `save` wrote. Raises InputError when it is not that."""
        return read_model(cls, path, "not a study's results", "; make them again")
