"""A table of scores -> everything that a comparison says of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.bootstrap import bootstrap
from recsys.evaluation.compare.curves import curves_of
from recsys.evaluation.compare.findings import Findings
from recsys.evaluation.compare.measures import Measured, Within, measure, measure_slice
from recsys.evaluation.compare.plan import DECIDING, Contender, Plan
from recsys.evaluation.compare.table import ScoreTable
from recsys.evaluation.comparison import Curve, Difference, Estimate, Recommendation, SeedSpread, Slice, TaskSummary
from recsys.evaluation.groups import group_codes
from recsys.evaluation.names import higher_is_better
from recsys.evaluation.verdict import Finding, recommend

FEW = 30  # positives, negatives or groups below which an interval is rough


@dataclass
class Result:
    """The parts of a Comparison that follow from the scores."""

    tasks: list[TaskSummary]
    estimates: list[Estimate]
    differences: list[Difference]
    seeds: list[SeedSpread]
    curves: list[Curve]
    recommendations: list[Recommendation]
    warnings: list[str] = field(default_factory=list)


def compare(table: ScoreTable, plan: Plan) -> Result:
    """Measure all runs on the same rows, and judge every challenger against the baseline.

    Memory: the scores of one task at a time, and about 40 bytes a row, run and task for what the bootstrap weighs.
    Raises InputError when a column doesn't fit, or contenders' seeds don't pair.
    """
    for challenger in plan.challengers:
        plan.pairs(challenger)
    slices = list(map(table.slices, plan.slices))
    within = _within(table, plan)
    measured: list[Measured] = []
    curves: list[Curve] = []
    for task in plan.tasks:
        rows = table.task(task, plan.runs)
        measured.append(measure(rows, within.of(rows.rows)))
        curves += curves_of(rows, [(contender.name, contender.runs[0]) for contender in plan.contenders])
        for values, codes in slices:
            own = codes[rows.rows]
            measured += [measure_slice(rows.where(own == place), value) for place, value in enumerate(values) if (own == place).any()]
    statistics = {(place, run): part for place, of in enumerate(measured) for run, part in of.statistics.items()}
    replicates = bootstrap(statistics, table.cluster_count, plan.replicates, plan.seed, plan.threads, plan.advance)
    findings = Findings(plan, measured, replicates)
    return Result(
        tasks=[_summary(plan, part) for part in measured if part.slice is None],
        estimates=findings.estimates(),
        differences=findings.differences(),
        seeds=findings.seeds(),
        curves=curves,
        recommendations=[_recommendation(findings, challenger) for challenger in plan.challengers],
        warnings=[*_small_samples(measured), *_few_seeds(plan)],
    )


def _within(table: ScoreTable, plan: Plan) -> Within:
    requests = group_codes(table.log(plan.request)) if plan.request else None
    durations: NDArray[np.float64] | None = None
    if plan.duration:
        durations = np.nan_to_num(table.numbers(plan.duration), nan=0.0)
    return Within(requests, plan.at, durations, plan.group is not None)


def _summary(plan: Plan, part: Measured) -> TaskSummary:
    task = next(task for task in plan.tasks if task.name == part.task)
    metric = DECIDING[task.kind]
    return TaskSummary(
        name=task.name,
        kind=task.kind,
        metric=metric,
        higher_is_better=higher_is_better(metric),
        margin=plan.margins[task.name],
        guardrail=task.name in plan.guardrails,
        rows=part.rows,
        positives=part.positives,
    )


def _recommendation(findings: Findings, challenger: Contender) -> Recommendation:
    plan, verdicts, parts = findings.plan, findings.verdicts(challenger.name), []
    for task in plan.tasks:
        found, metric = findings.deciding(challenger, task.name), DECIDING[task.kind]
        parts.append(
            Finding(
                task=task.name,
                metric=metric,
                higher_is_better=higher_is_better(metric),
                margin=plan.margins[task.name],
                guardrail=task.name in plan.guardrails,
                difference=found.value,
                low=found.low,
                high=found.high,
                verdict=verdicts[task.name],
            )
        )
    return recommend(challenger.name, plan.baseline, parts)


def _small_samples(measured: Sequence[Measured]) -> Iterable[str]:
    """A sentence a task, and one for the slices of a column, that have too little to go by."""
    thin: dict[tuple[str, str], list[Slice]] = {}
    for part in measured:
        fewest, what = min((part.positives, "positives"), (part.rows - part.positives, "negatives"), (part.groups, "groups"))
        if fewest >= FEW:
            continue
        if part.slice is None:
            yield f"{part.task} has {fewest} {what}, fewer than {FEW}: its intervals are rough."
        else:
            thin.setdefault((part.task, part.slice.column), []).append(part.slice)
    for (task, column), places in thin.items():
        more = f" and {len(places) - 12} more" if len(places) > 12 else ""
        values = ", ".join(place.value for place in places[:12]) + more
        yield f"{task} has fewer than {FEW} positives, negatives or groups where {column} is {values}: its intervals are rough or missing."


def _few_seeds(plan: Plan) -> Iterable[str]:
    for challenger in plan.challengers:
        counts = len(challenger.runs), len(plan.reference.runs)
        if challenger.candidate.kind == "scores" or plan.reference.candidate.kind == "scores":
            continue
        if max(counts) == 1:
            yield (
                f"{challenger.name} and {plan.baseline} have one training seed each: intervals cover these two models, "
                "and say nothing of how much another seed would change them."
            )
        elif min(counts) == 1:
            single = challenger.name if counts[0] == 1 else plan.baseline
            yield f"{single} has one training seed: the spread over seeds is that of the other alone."
        elif counts[0] == 2:
            yield f"{challenger.name} and {plan.baseline} have two seeds each, a spread that is hardly known: intervals with it are wide."
