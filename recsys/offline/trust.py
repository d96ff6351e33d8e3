"""What must hold before figures are believed: the same tasks, and rows that no candidate was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from recsys.config import Task
from recsys.data.source import SourceFile, open_source
from recsys.data.times import readable, time_range
from recsys.errors import InputError, JobError
from recsys.offline.sources import Entry, Run
from recsys.training import ancestry

SAME = ("kind", "label", "space", "threshold")  # what makes two tasks of one name the same question


def shared_tasks(entries: Sequence[Entry], wanted: Sequence[str], given: Sequence[Task]) -> list[Task]:
    """The tasks on which all models are compared: those `wanted` (all where empty), by name.

    given: the tasks that a configuration names, for scores from elsewhere; where empty, the first model's.

    Raises InputError when a model lacks one, or reads another label or sample space for it.
    """
    runs = [run for entry in entries for run in entry.runs if run.config]
    if not runs and not given:
        raise InputError("no candidate is a model, so nothing says what the tasks are; name a configuration with --config")
    named = given or (runs[0].config.tasks if runs[0].config else [])
    known = [task.name for task in named]
    for name in wanted:
        if name not in known:
            raise InputError(f"--tasks: there is no task {name!r}; known are {', '.join(known)}")
    tasks = [task for task in named if not wanted or task.name in wanted]
    for run in runs:
        _refuse_other_tasks(run, tasks, runs[0].name if not given else "the configuration", bool(wanted))
    return tasks


def _refuse_other_tasks(run: Run, tasks: Sequence[Task], reference: str, chosen: bool) -> None:
    assert run.config is not None
    own = {task.name: task for task in run.config.tasks}
    for task in tasks:
        if task.name not in own:
            raise InputError(f"candidate {run.name} has no task {task.name!r}, {reference} has; compare shared ones with --tasks A,B")
        for key in SAME:
            theirs, ours = getattr(own[task.name], key, None), getattr(task, key, None)
            if theirs != ours:
                what = {"space": "sample space", "label": "label column"}.get(key, key)
                raise InputError(
                    f"task {task.name!r}: the {what} of candidate {run.name} is {theirs or 'all rows'}, that of {reference} "
                    f"{ours or 'all rows'}; figures of different questions can't be compared"
                )
    extra = [name for name in own if name not in {task.name for task in tasks}]
    if extra and not chosen:
        raise InputError(f"candidate {run.name} has a task {extra[0]!r}, {reference} has none; compare shared ones with --tasks A,B")


def overlaps(entries: Sequence[Entry], files: Sequence[SourceFile], time: str | None) -> Iterable[str]:
    """Sentences on candidates whose training rows the evaluation has, or that were trained on rows from later on."""
    footers, begins = {file.footer: file.name for file in files}, time_range(files, time) if time else None
    for entry in entries:
        for run in entry.runs[:1]:
            seen = [footers[footer] for footer in trained_files(run) if footer in footers]
            if seen:
                yield (
                    f"{entry.name} was trained on {len(seen)} of the {len(files)} files that it is evaluated on ({seen[0]}): "
                    "its figures are too good, so the comparison says little."
                )
                continue
            ends = _trained_until(run, time) if begins and time else None
            if begins and ends is not None and ends >= begins[0]:
                yield (
                    f"{entry.name} was trained on rows up to {readable(ends)} and is evaluated on rows from {readable(begins[0])} on: "
                    "it may know what came after them."
                )


def trained_files(run: Run) -> list[str]:
    """Digests of the footers of the files a model was trained on, as its checkpoint remembers them, those of earlier runs included."""
    progress = run.checkpoint / "progress.json" if run.checkpoint else None
    if progress is None or not progress.is_file():
        return []
    return ancestry.trained_files(json.loads(progress.read_text()))


def _trained_until(run: Run, time: str) -> float | None:
    """Of the latest row of the training files; None where these can't be seen from here."""
    assert run.config is not None or run.path
    if run.config is None:
        return None
    try:
        found = time_range(open_source(run.config.data.train, []).files, time)
    except (InputError, JobError):
        return None
    return found[1] if found else None
