"""Everything that people look at, from what a study's folder holds: made at its end, and at any time again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from recsys.config import Task
from recsys.study.analysis.entries import entries_of, setting_key
from recsys.study.analysis.summarise import About, Budget, summarise
from recsys.study.contestant import titled
from recsys.study.figures import Course, Courses, course, write_figures
from recsys.study.findings import Findings
from recsys.study.markdown import write_markdown
from recsys.study.outcome import Outcome
from recsys.study.page import write_page
from recsys.study.record import StudyRecord
from recsys.study.results import write_results

PAGE, FIGURES = "page.html", "figures"


def report(
    outcomes: Iterable[Outcome], tasks: Sequence[Task], of: About, folder: Path, advance: Callable[[], object] = lambda: None
) -> tuple[Findings, list[Path]]:
    """Summarise a study and write `results.json`, `.csv` and `.md`, `page.html` and `figures/` into its `folder`.

    The findings, and the files.

    `advance` is called after each child and task. Raises InputError as `summarise`.
    """
    done = list(outcomes)
    findings = summarise(done, tasks, of, advance=advance)
    of_study = courses(done, [task.name for task in tasks])
    files = write_results(findings, folder)
    files += write_figures(findings, of_study, folder / FIGURES)
    write_page(findings, of_study, folder / PAGE)
    return findings, [*files, folder / PAGE, write_markdown(findings, folder)]


def about(record: StudyRecord, done: Iterable[str]) -> About:
    """What a study's record says beside its outcomes. done: names of children that have one."""
    failed = [one.child for one in record.failed]
    have = {*done, *failed}
    undecided = [f"{line.strategy}, {line.architecture}" for line in record.lines if line.chosen is None and not line.halved]
    reported = {child.name for child in record.finals()}
    return About(
        study=record.name,
        command=record.command,
        missing=[*undecided, *(child.name for child in record.finals() if child.name not in have)],
        failed=[name for name in failed if name in reported],
        notes=[*record.notes, *_halved(record)],
        budgets={
            (line.strategy, line.architecture, setting_key(line.chosen)): Budget(line.tried, line.search_trainings)
            for line in record.lines
            if line.chosen is not None
        },
    )


def courses(outcomes: Sequence[Outcome], tasks: Sequence[str]) -> Courses:
    """The weights over time of each entry that has shared something, over its seeds."""
    found: dict[str, dict[str, Course]] = {}
    for architecture, entries in entries_of(outcomes).items():
        for runs in entries:
            noted = [outcome.course for outcome in runs.by_seed.values() if len(outcome.course.steps) and outcome.course.weights]
            if noted and runs.strategy != "single":
                tables = [(np.asarray(part.steps, float), np.array([part.weights[task] for task in tasks], float).T) for part in noted]
                found.setdefault(architecture, {})[runs.name] = course(tables)
    return found


def _halved(record: StudyRecord) -> Iterator[str]:
    """Who didn't come to the last round, and where they left."""
    if gone := [f"{titled(line.strategy, line.given)}, {line.architecture} ({line.dropped})" for line in record.lines if line.halved]:
        yield f"dropped in halving, with everything trained on samples alone: {'; '.join(gone)}"
