"""An evaluation from what was typed to its record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from recsys.config import Task
from recsys.config_file import nearest
from recsys.data.fingerprint import digest, short_names
from recsys.data.schema import Schema
from recsys.data.source import Source, open_source
from recsys.data.times import readable, seconds_since_1970
from recsys.errors import InputError
from recsys.evaluation.compare.assemble import compare
from recsys.evaluation.compare.plan import Plan
from recsys.evaluation.compare.table import ScoreTable
from recsys.evaluation.comparison import Comparison, Data
from recsys.offline.policies import Exposure, parse_all, rank
from recsys.offline.request import Request
from recsys.offline.sources import Entry, Fetch, find
from recsys.offline.spec import parse_specs
from recsys.offline.trust import overlaps, shared_tasks
from recsys.tracking.environment import package_versions

HOUR = "hour"


@dataclass(frozen=True)
class Question:
    """What is asked, as typed. Columns left at None are those that the log's description names, where it has one."""

    candidates: Sequence[str]
    data: list[str]
    output: Path
    command: str
    baseline: str | None = None
    slices: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    given_tasks: Sequence[Task] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    guardrails: tuple[str, ...] | None = None
    user: str | None = None
    time: str | None = None
    request: str | None = None
    item_duration: str | None = None
    at: tuple[int, ...] = (10,)
    formulas: tuple[str, ...] = ()
    exposure: Exposure | None = None
    replicates: int = 1000
    seed: int = 0
    threads: int = 2


@dataclass(frozen=True)
class Answer:
    """The record of an evaluation, and the folders of the models."""

    comparison: Comparison
    folders: list[Path]


def evaluate(question: Question, fetch: Fetch, score: Callable[[Request], None], advance: Callable[[], object]) -> Answer:
    """Score every row with every candidate, compare them, and say what follows.

    Args:
        fetch: brings a model of MLflow here.
        score: has the rows scored, in however many processes.
        advance: called after each of the bootstrap's replicates.

    Raises:
        InputError: for whatever can't be compared.
    """
    started = time.perf_counter()
    entries = [find(spec, fetch) for spec in parse_specs(question.candidates)]
    tasks = shared_tasks(entries, question.tasks, question.given_tasks)
    baseline = _baseline(question, entries)
    formulas = parse_all(question.formulas, tasks)
    source = open_source(question.data, [])
    schema = Schema.beside(question.data)
    user, clock = question.user or (schema.user if schema else None), question.time or (schema.time if schema else None)
    plan = _plan(question, entries, tasks, baseline, user, clock, advance)
    request = _request(question, entries, plan, source)
    warnings = [*_unknown_users(user), *overlaps(entries, source.files, clock)]
    for challenger in plan.challengers:
        plan.pairs(challenger)  # seeds that don't pair are found before an hour of scoring
    score(request)
    table = ScoreTable(request.scores, user)
    found = compare(table, plan)
    runs = {contender.name: contender.runs[0] for contender in plan.contenders}
    ranked = rank(table, tasks, formulas, runs, baseline, question.exposure)
    comparison = Comparison(
        command=question.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=time.perf_counter() - started,
        versions=package_versions(),
        data=_data(question.data, source, table, user, clock),
        baseline=baseline,
        candidates=[contender.candidate for contender in plan.contenders],
        tasks=found.tasks,
        estimates=found.estimates,
        differences=found.differences,
        seeds=found.seeds,
        curves=found.curves,
        policies=ranked.policies,
        trade_offs=ranked.trade_offs,
        recommendations=found.recommendations,
        warnings=[*warnings, *found.warnings, *ranked.warnings],
    )
    return Answer(comparison, [run.path for entry in entries for run in entry.runs if run.config])


def _baseline(question: Question, entries: Sequence[Entry]) -> str:
    names = [entry.name for entry in entries]
    if question.baseline is not None and question.baseline not in names:
        raise InputError(f"--baseline: no candidate is called {question.baseline!r}{nearest(question.baseline, names)}")
    return question.baseline or names[0]


def _plan(
    question: Question,
    entries: Sequence[Entry],
    tasks: Sequence[Task],
    baseline: str,
    user: str | None,
    clock: str | None,
    advance: Callable[[], object],
) -> Plan:
    names = [task.name for task in tasks]
    for given, option in ((question.margins, "--margin"), (question.guardrails or (), "--guardrails")):
        for name in given:
            if name not in (*names, "") or (name == "" and option != "--margin"):
                raise InputError(f"{option}: there is no task {name!r}{nearest(name, names)}")
    return Plan(
        tasks=tasks,
        contenders=[entry.contender() for entry in entries],
        baseline=baseline,
        margins={name: question.margins.get(name, question.margins.get("", 0.0)) for name in names},
        guardrails=frozenset(names if question.guardrails is None else question.guardrails),
        slices=question.slices,
        group=user,
        time=clock,
        request=question.request,
        duration=question.item_duration,
        at=question.at,
        replicates=question.replicates,
        seed=question.seed,
        threads=question.threads,
        advance=advance,
    )


def _request(question: Question, entries: Sequence[Entry], plan: Plan, source: Source) -> Request:
    """What to score, with the columns that the comparison needs. Raises InputError when the log lacks one."""
    with source.files[0].open() as parquet:
        known = parquet.schema_arrow.names
    named = {plan.group: "--user", plan.time: "--time", plan.request: "--request", plan.duration: "--item-duration"}
    columns = {column: option for column, option in named.items() if column} | dict.fromkeys(plan.slices, "--slices")
    columns |= question.exposure.columns if question.exposure else {}
    hours = plan.time if HOUR in plan.slices and HOUR not in known else None
    if hours:
        columns.pop(HOUR)
    for column, option in columns.items():
        if column not in known:
            raise InputError(f"{option}: the log has no column {column!r}{nearest(column, known)}")
    runs = [run.scored for entry in entries for run in entry.runs]
    return Request(data=question.data, tasks=list(plan.tasks), runs=runs, columns=columns, hours=hours, output=question.output)


def _data(paths: list[str], source: Source, table: ScoreTable, user: str | None, clock: str | None) -> Data:
    names = short_names([file.name for file in source.files])
    first = last = None
    if clock:
        seconds = seconds_since_1970(table.log(clock).to_numpy())
        first, last = readable(float(np.nanmin(seconds))), readable(float(np.nanmax(seconds)))
    return Data(
        paths=paths,
        rows=table.rows,
        group=user,
        groups=table.cluster_count,
        first_time=first,
        last_time=last,
        fingerprint=digest({name: file.footer for name, file in zip(names, source.files, strict=True)}),
    )


def _unknown_users(user: str | None) -> Iterable[str]:
    if user is None:
        yield "No column names the user (--user), so rows are taken as independent; intervals are too narrow where users have several."
