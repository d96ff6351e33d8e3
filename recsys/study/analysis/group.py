"""A group's arrays -> its findings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.trade_offs import pareto_front
from recsys.study.analysis.conclusion import conclude
from recsys.study.analysis.differences import differences_to, over_runs
from recsys.study.analysis.field import Field
from recsys.study.analysis.ranks import alike, rank, whole_part
from recsys.study.child import SINGLE, TUNED
from recsys.study.findings import DELTA_M, FIGURES, Entry, Estimate, Group, PairedDifference, Ranking, Spread

EQUAL = "equal"


@dataclass(frozen=True)
class Described:
    """An entry beside its metrics. figures: by name of `FIGURES` and seed."""

    strategy: str
    setting: Mapping[str, Any]
    tried: int
    search_trainings: int
    figures: Mapping[str, Mapping[int, float]]
    run_ids: Sequence[str]


def group_of(architecture: str, field: Field, described: Sequence[Described]) -> Group:
    """Everything that is said of the entries of one architecture."""
    strategies = [part.strategy for part in described]
    reference = next((field.names[strategies.index(name)] for name in (SINGLE, EQUAL) if name in strategies), None)
    rival, runner_up = _best_on_valid(field, reference)
    differences = _differences(field, strategies, reference, rival, runner_up)
    ranking = _ranking(field)
    group = Group(
        architecture=architecture,
        entries=_entries(field, described, reference, differences, ranking),
        reference=reference,
        rival=rival,
        runner_up=runner_up,
        differences=differences,
        ranking=ranking,
        conclusion=[],
    )
    return group.model_copy(update={"conclusion": conclude(group, field.tasks)})


def _best_on_valid(field: Field, reference: str | None) -> tuple[str | None, str | None]:
    """The two ranked entries with the highest mean delta-m on valid, over the seeds that all of them have where there are such."""
    if reference is None:
        return None, None
    scores = np.where(field.ranked[:, None], field.delta_m(reference, valid=True), np.nan)
    there = ~np.isnan(scores)
    entries, seeds = whole_part(there[there.any(1)]) if there.any() else (np.zeros(0, bool), np.zeros(0, bool))
    places = np.flatnonzero(there.any(1))[entries]
    means = scores[np.ix_(places, np.flatnonzero(seeds))].mean(1)
    best = [field.names[place] for place in places[np.argsort(-means, kind="stable")]]
    return (best[0] if best else None), (best[1] if len(best) > 1 else None)


def _differences(
    field: Field, strategies: Sequence[str], reference: str | None, rival: str | None, runner_up: str | None
) -> list[PairedDifference]:
    """To `equal`, tuned weights and single-task models where they are there, and to the rival; of the rival to the second on valid."""
    bases = [field.names[strategies.index(name)] for name in (EQUAL, TUNED, SINGLE) if name in strategies]
    found = [part for base in bases for part in differences_to(field, base, reference)]
    if rival is not None and rival not in bases:
        found += differences_to(field, rival, reference)
    if rival is not None and runner_up is not None and runner_up not in bases:
        found += differences_to(field, runner_up, reference, [rival])
    return found


def _ranking(field: Field) -> Ranking:
    ranked = np.flatnonzero(field.ranked & field.present.any(1))
    entries, seeds = whole_part(field.present[ranked]) if ranked.size else (np.zeros(0, bool), np.zeros(len(field.seeds), bool))
    places = ranked[entries]
    values = field.upwards(field.test[np.ix_(places, np.flatnonzero(seeds))])  # (e, s, K)
    found = rank(np.moveaxis(values, 0, 2).reshape(-1, places.size))
    names = [field.names[place] for place in places]
    groups = [] if math.isnan(found.critical_difference) else alike(found.mean, found.critical_difference)
    return Ranking(
        entries=names,
        mean_ranks=found.mean.tolist(),
        blocks=found.blocks,
        statistic=found.statistic,
        p=found.p,
        critical_difference=found.critical_difference,
        alike=[[names[place] for place in members] for members in groups],
        left_out=[field.names[place] for place in ranked[~entries]],
    )


def _entries(
    field: Field, described: Sequence[Described], reference: str | None, differences: Sequence[PairedDifference], ranking: Ranking
) -> list[Entry]:
    ranks = dict(zip(ranking.entries, ranking.mean_ranks, strict=True))
    verdicts = {(part.entry, part.verdict, part.task) for part in differences if _is_to(part, EQUAL, field, described)}
    gains = None if reference is None else (field.delta_m(reference), field.delta_m_replicates(reference))
    with np.errstate(all="ignore"):
        means = np.array([[_mean(field.test[place, :, task]) for task in range(len(field.tasks))] for place in range(len(field.names))])
    front = pareto_front(field.upwards(means))
    baseline = next((place for place, part in enumerate(described) if part.strategy == EQUAL), None)
    found = []
    for place, (name, part) in enumerate(zip(field.names, described, strict=True)):
        won, blocks = (math.nan, 0) if baseline is None or baseline == place else _won(field, place, baseline)
        found.append(
            Entry(
                name=name,
                strategy=part.strategy,
                setting=dict(part.setting),
                seeds=[seed for seed, there in zip(field.seeds, field.present[place].tolist(), strict=True) if there],
                tried=part.tried,
                search_trainings=part.search_trainings,
                test=_spreads(field, field.test[place]),
                valid=_spreads(field, field.valid[place]),
                delta_m=_NONE if gains is None else _estimate(field, *(values[place] for values in gains)),
                mean_rank=ranks.get(name, math.nan),
                better=[task.name for task in field.tasks if (name, "better", task.name) in verdicts],
                worse=[task.name for task in field.tasks if (name, "worse", task.name) in verdicts],
                seeds_won=won,
                blocks=blocks,
                step_cost=math.nan if baseline is None else _relative("seconds_per_step", part, described[baseline]),
                cpu_step_cost=math.nan if baseline is None else _relative("cpu_seconds_per_step", part, described[baseline]),
                on_front=bool(front[place]),
                run_ids=list(part.run_ids),
                **{name: _mean(np.array(list(part.figures[name].values()))) for name in FIGURES},
            )
        )
    return found


_NONE = Estimate(value=math.nan, low=math.nan, high=math.nan)


def _is_to(part: PairedDifference, strategy: str, field: Field, described: Sequence[Described]) -> bool:
    return part.task != DELTA_M and described[field.place(part.reference)].strategy == strategy


def _estimate(field: Field, values: NDArray[np.float64], replicates: NDArray[np.float64]) -> Estimate:
    there = ~np.isnan(values)
    if not there.any():
        return _NONE
    found = over_runs(values[there], replicates[there], field.clusters).mean
    return Estimate(value=found.value, low=found.low, high=found.high)


def _spreads(field: Field, values: NDArray[np.float64]) -> dict[str, Spread]:
    """Of (S, K) values."""
    found = {}
    for task, column in zip(field.tasks, values.T, strict=True):
        there = column[~np.isnan(column)]
        deviation = float(there.std(ddof=1)) if there.size > 1 else math.nan
        found[task.name] = Spread(mean=_mean(there), deviation=deviation, values=there.tolist())
    return found


def _won(field: Field, place: int, baseline: int) -> tuple[float, int]:
    """Blocks of task and seed in which the entry is better than the baseline, ties counting 1/2, and how many there are."""
    gains = field.upwards(field.test[place] - field.test[baseline])
    gains = gains[~np.isnan(gains)]
    return float(np.count_nonzero(gains > 0) + 0.5 * np.count_nonzero(gains == 0)), gains.size


def _relative(figure: str, part: Described, baseline: Described) -> float:
    """A figure over the baseline's of the same seed: the geometric mean over seeds that both have."""
    own, others = part.figures[figure], baseline.figures[figure]
    ratios = [math.log(own[seed] / others[seed]) for seed in own if others.get(seed, 0) > 0 and own[seed] > 0]
    return math.exp(sum(ratios) / len(ratios)) if ratios else math.nan


def _mean(values: NDArray[np.float64]) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else math.nan
