"""What only all rows tell: the second half of a validation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

from recsys.config import Config
from recsys.data.layout import Layout, label_needs, layout
from recsys.data.source import Need
from recsys.data.statistics import fit_statistics
from recsys.data.transforms import Transforms
from recsys.data.validation.findings import Findings
from recsys.data.validation.footers import check_order
from recsys.data.validation.notes import Notes, Silence
from recsys.data.validation.quick import Validation
from recsys.data.validation.scan import Plan, Scan, scan
from recsys.errors import InputError


def check_rows(validation: Validation, advance: Callable[[int], None] = lambda rows: None) -> None:
    """Look at every row of every file that is whole; `advance` is told of each number of rows done."""
    config, found = validation.config, validation.found
    features = layout(config.features)
    notes = Notes(config.data, found)
    transforms = _transforms(config, features, found) if validation.footers["train"].source.rows else None
    plan = Plan(
        columns=_columns(config, features.needs, validation.time),
        numeric=sorted({need.column for need in features.needs if need.kind != "id" and not need.lists}),
        tasks=config.tasks,
        time=validation.time,
        transforms=transforms,
    )
    for split, footers in validation.footers.items():
        part = scan(footers.source, plan, config.data, advance)
        validation.scans[split] = part
        part.report(notes)
        _check_labels(config, split, part, found)
    check_order({split: (part.first, part.last) for split, part in validation.scans.items()}, found)
    validation.scans["train"].leakage.report(found)
    _check_repeats(validation)


def _columns(config: Config, needs: list[Need], time: str | None) -> list[str]:
    read = [need.column for need in [*needs, *label_needs(config.tasks, config.data.weight)]]
    return list(dict.fromkeys([*read, *([time] if time else [])]))


def _transforms(config: Config, features: Layout, found: Findings) -> Transforms | None:
    """The transforms that training would use; None, and an error found, where the training files don't let them be learned."""
    try:
        # What it would be stopped by is told by the pass over all rows.
        statistics = fit_statistics(
            config.data.train, features.features, config.data.threads, config.data.store, Silence(timeout=config.data.timeout)
        )
        return Transforms(features, config.tasks, config.data.weight, statistics)
    except InputError as error:
        found.error("values", str(error))
        return None


def _check_labels(config: Config, split: str, part: Scan, found: Findings) -> None:
    for task, rates in zip(config.tasks, part.labels.total, strict=True):
        where = f"data.{split}, task {task.name!r}"
        if part.rows and not rates.space:
            found.error("labels", f"{where}: no row has a label in its sample space; there is nothing to learn or to measure")
        elif task.kind == "binary" and rates.space and rates.positives in (0, rates.space):
            which = "negative" if rates.positives == 0 else "positive"
            found.error("labels", f"{where}: all {rates.space:,} labels are {which}; a task needs both")
        if rates.outside:
            found.warning(
                "labels",
                f"{where}: {rates.outside:,} rows have {task.label!r} without {task.space!r}; they are left out of the task: "
                "mend the log, or drop `space`",
            )


def _check_repeats(validation: Validation) -> None:
    found, scans = validation.found, validation.scans
    for split, part in scans.items():
        if repeats := part.hashes.repeats():
            about = "about " if part.hashes.factor > 1 else ""
            sure = "drop them, they are one event" if validation.time else "name `data.time` to tell whether they are one event"
            found.warning("repeats", f"data.{split}: {about}{repeats:,} rows repeat an earlier one in every column that is read; {sure}")
    for left, right in combinations(scans, 2):
        if shared := scans[left].hashes.shared_with(scans[right].hashes):
            _report_shared(validation, left, right, shared)


def _report_shared(validation: Validation, left: str, right: str, shared: int) -> None:
    """With a time among the columns equal rows are one event; without, different people may look alike."""
    message = f"{shared:,} different rows of data.{right} stand in data.{left} too"
    if validation.time:
        validation.found.error("splits", f"{message}, time included; drop them from one of the two")
    else:
        validation.found.warning("splits", f"{message}, as far as the columns that are read tell; name `data.time` to be sure")
