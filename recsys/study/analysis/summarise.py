"""The outcomes of a study -> its findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.config import Task
from recsys.study.analysis.entries import Runs, entries_of, setting_key
from recsys.study.analysis.field import Field
from recsys.study.analysis.group import Described, group_of
from recsys.study.analysis.kept_scores import KeptScores
from recsys.study.analysis.replicates import columns_of, resample
from recsys.study.child import FINAL, SINGLE
from recsys.study.findings import FIGURES, Findings, StudyTask, study_task
from recsys.study.outcome import Outcome
from recsys.tracking.environment import package_versions

REPLICATES = 1000
Replicates = Mapping[str, NDArray[np.float64]]
"""By a child's name, (K, r)."""


class Budget(NamedTuple):
    """Settings among which one was chosen, itself included, and the trainings that this took."""

    tried: int = 1
    trainings: int = 0


@dataclass(frozen=True)
class About:
    """What the outcomes don't say.

    missing, failed: names of final children without a result. notes: what a reader should know of how the study was made. budgets: what
    choosing settings cost, by strategy, architecture and `setting_key` of what was chosen.
    """

    study: str
    command: str
    missing: Sequence[str] = ()
    failed: Sequence[str] = ()
    notes: Sequence[str] = ()
    budgets: Mapping[tuple[str, str, str], Budget] = field(default_factory=dict)


def summarise(
    outcomes: Iterable[Outcome],
    tasks: Sequence[Task],
    about: About,
    replicates: int = REPLICATES,
    advance: Callable[[], object] = lambda: None,
) -> Findings:
    """Compare the final children of a study; those of other stages are passed over.

    Any part of a study will do. `advance` is called after each child and task. Memory: the sums over clusters of a batch of runs
    (`replicates.BATCH_NUMBERS`), and r numbers a child and task. Raises InputError when children were measured on different rows.
    """
    done = list(outcomes)
    final = [outcome for outcome in done if outcome.child.stage == FINAL]
    kept = [outcome for outcome in final if outcome.scores is not None]
    scores = KeptScores(kept, tasks) if kept else None
    clusters = scores.first.cluster_count if scores else 0
    resampled = _resampled(scores, clusters, replicates, advance) if scores else {}
    study_tasks = [study_task(task) for task in tasks]
    groups = [
        group_of(architecture, _field(entries, study_tasks, resampled, clusters), [_described(runs, about.budgets) for runs in entries])
        for architecture, entries in entries_of(done).items()
    ]
    return Findings(
        study=about.study,
        command=about.command,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        versions=package_versions(),
        tasks=study_tasks,
        rows=scores.first.rows if scores else 0,
        clusters=clusters,
        cluster=scores.user if scores else None,
        replicates=replicates if scores else 0,
        groups=groups,
        missing=list(about.missing),
        failed=list(about.failed),
        notes=list(about.notes),
        warnings=_warnings(final, kept),
    )


def _resampled(scores: KeptScores, clusters: int, replicates: int, advance: Callable[[], object]) -> Replicates:
    found = {outcome.child.name: np.full((len(scores.tasks), replicates), np.nan) for outcome in scores.outcomes}
    for place, task in enumerate(scores.tasks):
        runs = resample((columns_of(rows, clusters) for rows in scores.rows(task)), clusters, replicates)
        for outcome, run in zip(scores.outcomes, runs, strict=True):
            found[outcome.child.name][place] = run.replicates
            advance()
    return found


def _field(entries: Sequence[Runs], tasks: Sequence[StudyTask], resampled: Replicates, clusters: int) -> Field:
    seeds = sorted({seed for runs in entries for seed in runs.by_seed})
    shape = (len(entries), len(seeds), len(tasks))
    count = next((table.shape[1] for table in resampled.values()), 0)
    test, valid, replicates = np.full(shape, np.nan), np.full(shape, np.nan), np.full((*shape, count), np.nan)
    for place, runs in enumerate(entries):
        for seed, outcome in runs.by_seed.items():
            at = place, seeds.index(seed)
            test[at], valid[at] = ([_metric(outcome, split, task) for task in tasks] for split in ("test", "valid"))
            if outcome.child.name in resampled:
                replicates[at] = resampled[outcome.child.name]
    ranked = np.array([runs.strategy != SINGLE for runs in entries])
    return Field([runs.name for runs in entries], seeds, tasks, ranked, test, valid, replicates, clusters)


def _metric(outcome: Outcome, split: str, task: StudyTask) -> float:
    return outcome.metrics.get(f"{split}/{task.name}/{task.metric}", float("nan"))


def _described(runs: Runs, budgets: Mapping[tuple[str, str, str], Budget]) -> Described:
    outcomes = list(runs.by_seed.values())
    figures = {name: {seed: float(getattr(outcome, name)) for seed, outcome in runs.by_seed.items()} for name in FIGURES}
    budget = budgets.get((runs.strategy, runs.architecture, setting_key(runs.setting)), Budget())
    return Described(runs.strategy, runs.setting, *budget, figures, [outcome.run_id for outcome in outcomes if outcome.run_id])


def _warnings(final: Sequence[Outcome], kept: Sequence[Outcome]) -> list[str]:
    found = []
    without = sorted({outcome.child.name for outcome in final} - {outcome.child.name for outcome in kept})
    if without:
        found.append(
            f"{len(without)} children kept no test scores: intervals of their differences hold the spread over seeds alone, not over rows"
        )
    unmeasured = sorted(outcome.child.name for outcome in final if not any(name.startswith("test/") for name in outcome.metrics))
    if unmeasured:
        found.append(f"{len(unmeasured)} children have no test metrics (is data.test set?): {', '.join(unmeasured)}")
    return found
