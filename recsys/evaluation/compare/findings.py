"""From what was measured of every run to estimates, differences and the spread over seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.errors import InputError
from recsys.evaluation.bootstrap import resampled
from recsys.evaluation.compare.measures import Measured
from recsys.evaluation.compare.plan import DECIDING, Contender, Plan
from recsys.evaluation.comparison import Difference, Estimate, SeedSpread
from recsys.evaluation.delong import AucComparison
from recsys.evaluation.intervals import Uncertain, minimum_detectable, rows_needed
from recsys.evaluation.multiplicity import benjamini_hochberg, holm
from recsys.evaluation.names import higher_is_better
from recsys.evaluation.seeds import OverSeeds, over_seeds
from recsys.evaluation.verdict import judge

Replicates = dict[tuple[tuple[int, str], str], NDArray[np.float64]]
"""By (place of the Measured, run) and metric."""


@dataclass(frozen=True)
class Findings:
    """Reads contenders' figures off a list of `Measured` and their bootstrap replicates. A contender's metric is the mean over its runs."""

    plan: Plan
    measured: Sequence[Measured]
    replicates: Replicates

    def estimates(self) -> list[Estimate]:
        """Every metric of every contender, on all rows and on slices."""
        return [
            self._estimate(place, contender, metric)
            for place, part in enumerate(self.measured)
            for metric in part.metrics
            for contender in self.plan.contenders
        ]

    def differences(self) -> list[Difference]:
        """Every metric with a better direction, of every challenger to the baseline, corrected and judged."""
        found = [
            self._difference(place, challenger, metric)
            for place, part in enumerate(self.measured)
            for metric in part.metrics
            if _has_direction(metric)
            for challenger in self.plan.challengers
        ]
        return [self._judged(part) for part in self._corrected(found)]

    def seeds(self) -> list[SeedSpread]:
        """The spread over seeds of all rows' differences, of challengers that have several runs, or whose baseline has."""
        return [
            _spread(
                challenger.name, part.task, metric, self._over_seeds(place, challenger, metric), self._each_seed(place, challenger, metric)
            )
            for challenger in self.plan.challengers
            if self.plan.pairs(challenger)
            for place, part in enumerate(self.measured)
            if part.slice is None
            for metric in part.metrics
            if _has_direction(metric)
        ]

    def deciding(self, challenger: Contender, task: str) -> Uncertain:
        """The difference that decides on a task: with the spread of seeds and rows where there are several runs, else what the rows say."""
        place, metric = self._place(task), self._metric(task)
        if self._holds_seeds(place, challenger):
            return self._over_seeds(place, challenger, metric).mean
        return self._difference_of_rows(place, challenger, metric)

    def _estimate(self, place: int, contender: Contender, metric: str) -> Estimate:
        part = self.measured[place]
        value = self._mean_value(place, contender, metric)
        if metric == "auc":
            found = self._contrast(place, {run: 1 / len(contender.runs) for run in contender.runs}).estimate(0)
        else:
            found = resampled(value, self._mean_replicates(place, contender, metric), part.groups)
        return Estimate(
            candidate=contender.name,
            task=part.task,
            metric=metric,
            slice=part.slice,
            value=value,
            low=found.low,
            high=found.high,
            rows=part.rows,
            positives=part.positives,
            groups=part.groups,
            left_out=part.left_out.get(metric, 0),
        )

    def _difference(self, place: int, challenger: Contender, metric: str) -> Difference:
        part, of_rows = self.measured[place], self._difference_of_rows(place, challenger, metric)
        seeds = self._holds_seeds(place, challenger)
        found = self._over_seeds(place, challenger, metric).mean if seeds else of_rows
        return Difference(
            candidate=challenger.name,
            task=part.task,
            metric=metric,
            slice=part.slice,
            difference=found.value,
            low=found.low,
            high=found.high,
            p=found.p,
            p_holm=found.p,
            p_fdr=found.p,
            method="delong" if metric == "auc" and not seeds else "bootstrap",
            minimum_detectable=minimum_detectable(of_rows.deviation),
            rows_needed=rows_needed(part.rows, found.value, of_rows.deviation),
            verdict="inconclusive",
        )

    def _holds_seeds(self, place: int, challenger: Contender) -> bool:
        """Whether a difference's interval holds the spread over seeds: on all rows, of several runs."""
        return self.measured[place].slice is None and bool(self.plan.pairs(challenger))

    def _difference_of_rows(self, place: int, challenger: Contender, metric: str) -> Uncertain:
        reference, part = self.plan.reference, self.measured[place]
        if metric == "auc":
            return self._auc_difference(place, challenger)
        value = self._mean_value(place, challenger, metric) - self._mean_value(place, reference, metric)
        replicates = self._mean_replicates(place, challenger, metric) - self._mean_replicates(place, reference, metric)
        return resampled(value, replicates, part.groups)

    def _auc_difference(self, place: int, challenger: Contender) -> Uncertain:
        both = self._contrast(place, *({run: 1 / len(side.runs) for run in side.runs} for side in (challenger, self.plan.reference)))
        return both.difference(0, 1)

    def _contrast(self, place: int, *means: dict[str, float]) -> AucComparison:
        """AUCs of weighted means over runs: influences of rows on a mean are means of their influences."""
        aucs = self.measured[place].aucs
        weights = np.array([[mean.get(run, 0.0) for mean in means] for run in self.plan.runs])
        return AucComparison(aucs.aucs @ weights, aucs.positive @ weights, aucs.negative @ weights, aucs.counts)

    def _over_seeds(self, place: int, challenger: Contender, metric: str) -> OverSeeds:
        pairs = self.plan.pairs(challenger)
        tables = [self.replicates[(place, own), metric] - self.replicates[(place, other), metric] for own, other, _ in pairs]
        return over_seeds(list(self._each_seed(place, challenger, metric).values()), tables, self.measured[place].groups)

    def _each_seed(self, place: int, challenger: Contender, metric: str) -> dict[int, float]:
        values = self.measured[place].values
        return {seed: values[own][metric] - values[other][metric] for own, other, seed in self.plan.pairs(challenger)}

    def _mean_value(self, place: int, contender: Contender, metric: str) -> float:
        return float(np.mean([self.measured[place].values[run][metric] for run in contender.runs]))

    def _mean_replicates(self, place: int, contender: Contender, metric: str) -> NDArray[np.float64]:
        return np.mean([self.replicates[(place, run), metric] for run in contender.runs], axis=0)

    def _corrected(self, found: Sequence[Difference]) -> list[Difference]:
        """With p-values corrected within a candidate's family: deciding metrics of all rows, those of slices, other metrics."""
        families: dict[tuple[str, bool, bool], list[int]] = defaultdict(list)
        for position, part in enumerate(found):
            families[part.candidate, part.metric == self._metric(part.task), part.slice is None].append(position)
        corrected = list(found)
        for positions in families.values():
            p = [found[position].p for position in positions]
            for position, by_holm, by_fdr in zip(positions, holm(p).tolist(), benjamini_hochberg(p).tolist(), strict=True):
                corrected[position] = found[position].model_copy(update={"p_holm": by_holm, "p_fdr": by_fdr})
        return corrected

    def _judged(self, part: Difference) -> Difference:
        """A deciding metric on all rows as the recommendation has it; anything else after correction, without a margin."""
        if part.slice is None and part.metric == self._metric(part.task):
            return part.model_copy(update={"verdict": self.verdicts(part.candidate)[part.task]})
        verdict = judge(part.low, part.high, 0.0, higher_is_better(part.metric), p_better=part.p_holm, p_worse=part.p_holm)
        return part.model_copy(update={"verdict": verdict})

    def verdicts(self, name: str) -> dict[str, Literal["better", "worse", "inconclusive"]]:
        """By task, on all rows."""
        challenger = next(contender for contender in self.plan.challengers if contender.name == name)
        tasks = [task.name for task in self.plan.tasks]
        decided = [self.deciding(challenger, task) for task in tasks]
        corrected = holm([found.p for found in decided]).tolist()
        return {
            task: judge(
                found.low, found.high, self.plan.margins[task], higher_is_better(self._metric(task)), p_better=by_holm, p_worse=found.p
            )
            for task, found, by_holm in zip(tasks, decided, corrected, strict=True)
        }

    def _place(self, task: str) -> int:
        return next(place for place, part in enumerate(self.measured) if part.task == task and part.slice is None)

    def _metric(self, task: str) -> str:
        return DECIDING[next(part.kind for part in self.plan.tasks if part.name == task)]


def _spread(candidate: str, task: str, metric: str, found: OverSeeds, each: dict[int, float]) -> SeedSpread:
    return SeedSpread(
        candidate=candidate,
        task=task,
        metric=metric,
        seeds=list(each),
        differences=list(each.values()),
        mean=found.mean.value,
        seeds_deviation=found.seeds_deviation,
        rows_deviation=found.rows_deviation,
        low=found.mean.low,
        high=found.mean.high,
    )


def _has_direction(metric: str) -> bool:
    try:
        higher_is_better(metric)
    except InputError:
        return False
    return True
