"""Paired differences between entries: run by run of the same seed, on the same rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.intervals import Uncertain
from recsys.evaluation.multiplicity import holm
from recsys.evaluation.seeds import OverSeeds, over_seeds
from recsys.evaluation.verdict import LEVEL, judge
from recsys.study.analysis.field import Field
from recsys.study.analysis.power import detectable, seeds_needed
from recsys.study.findings import DELTA_M, PairedDifference

Values = NDArray[np.float64]


def differences_to(field: Field, reference: str, of_delta_m: str | None, entries: Iterable[str] | None = None) -> list[PairedDifference]:
    """Of `entries` (all but `reference` when None) to `reference`, on each task and in delta-m to `of_delta_m`, corrected and judged."""
    base = field.place(reference)
    places = [field.place(name) for name in (field.names if entries is None else entries) if name != reference]
    tasks = [
        _difference(field, place, base, task.name, field.test[..., number], field.replicates[:, :, number])
        for place in places
        for number, task in enumerate(field.tasks)
    ]
    found = _judged(field, tasks)
    if of_delta_m is not None:
        columns = field.delta_m(of_delta_m), field.delta_m_replicates(of_delta_m)
        found += _judged(field, [_difference(field, place, base, DELTA_M, *columns) for place in places])
    return [part for part in found if part.seeds]


def over_runs(values: Values, replicates: Values, clusters: int) -> OverSeeds:
    """Seeds and rows together, of (S,) values that are there and their (S, r) replicates.

    Where no scores were kept the rows' deviation is NaN, and the interval holds the seeds alone.
    """
    if replicates.shape[1] and not np.isnan(replicates).all(1).any():
        return over_seeds(values.tolist(), replicates, clusters)
    return over_seeds(values.tolist(), np.zeros((len(values), 2)), max(2, clusters))._replace(rows_deviation=math.nan)


def _difference(field: Field, entry: int, base: int, task: str, values: Values, replicates: Values) -> PairedDifference:
    """values: (E, S). replicates: (E, S, r)."""
    each = values[entry] - values[base]
    both = ~np.isnan(each)
    found = over_runs(each[both], replicates[entry, both] - replicates[base, both], field.clusters) if both.any() else _NOTHING
    return PairedDifference(
        entry=field.names[entry],
        reference=field.names[base],
        task=task,
        seeds=[seed for seed, there in zip(field.seeds, both.tolist(), strict=True) if there],
        differences=each[both].tolist(),
        mean=found.mean.value,
        low=found.mean.low,
        high=found.mean.high,
        p=found.mean.p,
        p_holm=found.mean.p,
        seeds_deviation=found.seeds_deviation,
        rows_deviation=found.rows_deviation,
        detectable=math.nan,
        seeds_needed=None,
        verdict="inconclusive",
    )


_NOTHING = OverSeeds(Uncertain(*[math.nan] * 5), math.nan, math.nan, math.nan)


def _judged(field: Field, family: Sequence[PairedDifference]) -> list[PairedDifference]:
    """With p-values corrected over the family, and what follows from them."""
    directions = {task.name: task.higher_is_better for task in field.tasks} | {DELTA_M: True}
    asked = sum(not math.isnan(part.p) for part in family)
    return [
        _answered(part, by_holm, LEVEL / max(1, asked), directions[part.task])
        for part, by_holm in zip(family, holm([part.p for part in family]).tolist(), strict=True)
    ]


def _answered(part: PairedDifference, by_holm: float, level: float, higher_is_better: bool) -> PairedDifference:
    rows = 0.0 if math.isnan(part.rows_deviation) else part.rows_deviation
    changed = {
        "p_holm": by_holm,
        "verdict": judge(part.low, part.high, 0.0, higher_is_better, p_better=by_holm, p_worse=by_holm),
        "detectable": detectable(len(part.seeds), part.seeds_deviation, rows, level),
        "seeds_needed": seeds_needed(part.mean, part.seeds_deviation, rows, level),
    }
    return part.model_copy(update=changed)
