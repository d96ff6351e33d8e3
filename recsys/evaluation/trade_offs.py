"""What a ranking by one formula gives to each of several tasks, and which formulas no other beats at all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.binary import auc
from recsys.evaluation.comparison import TradeOff
from recsys.evaluation.duration import xauc
from recsys.evaluation.formula import Floats, Formula

_FLOAT32_INTEGERS = 1 << 24  # so many integers from 0 have a float32 each


@dataclass(frozen=True)
class Objective:
    """A task as a goal of a ranking: (n,) labels, and (n,) bool rows of its sample space that have one."""

    task: str
    kind: Literal["binary", "duration"]
    labels: NDArray
    rows: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """`TASK/METRIC`: the AUC of a binary task, the XAUC of a duration; both are 1 for the right order and 1/2 for a random one."""
        return f"{self.task}/{'auc' if self.kind == 'binary' else 'xauc'}"

    def value(self, ranking: NDArray[np.floating]) -> float:
        """The metric when rows are ranked by (n,) `ranking` alone; NaN where all labels are alike."""
        measure = auc if self.kind == "binary" else xauc
        return measure(ranking[self.rows], self.labels[self.rows])


def weighted_products(tasks: Sequence[str], parts: int = 4) -> list[str]:
    """Formulas `a^(i/parts) * b^(j/parts) * ...` with exponents that sum to 1: a grid over the trade-offs of `tasks`."""
    weights = [parts_of for parts_of in product(range(parts + 1), repeat=len(tasks)) if sum(parts_of) == parts]
    return [
        " * ".join(task if part == parts else f"{task}^{part / parts:.3g}" for task, part in zip(tasks, of, strict=True) if part)
        for of in weights
    ]


def trade_offs(formulas: Sequence[Formula], scores: Mapping[str, Mapping[str, Floats]], objectives: Sequence[Objective]) -> list[TradeOff]:
    """Each formula over each candidate's scores (n,), by candidate and task, with the Pareto front over all of them marked.

    Raises:
        InputError: a formula has no value in some row.
    """
    points = [
        (candidate, formula.text, _values(_ranks(formula(by_task)), objectives))
        for candidate, by_task in scores.items()
        for formula in formulas
    ]
    front = pareto_front(np.array([list(values.values()) for _, _, values in points]).reshape(len(points), len(objectives)))
    return [
        TradeOff(candidate=candidate, formula=text, values=values, on_front=bool(best))
        for (candidate, text, values), best in zip(points, front, strict=True)
    ]


def pareto_front(values: Floats) -> NDArray[np.bool_]:
    """(p,) whether a point of (p, k) `values` is beaten by none: by no other that is nowhere lower and somewhere higher.

    A point with a NaN neither beats nor is on the front.
    """
    whole = np.flatnonzero(~np.isnan(values).any(axis=1))
    others = values[whole]
    beaten = [bool(((others >= point).all(axis=1) & (others > point).any(axis=1)).any()) for point in others]
    front = np.zeros(len(values), bool)
    front[whole] = ~np.array(beaten, bool)
    return front


def _ranks(values: Floats) -> NDArray[np.floating]:
    """Numbers in the order of (n,) `values`, as float32 where these can tell all of them apart: metrics sort those several times faster."""
    distinct, ranks = np.unique(values, return_inverse=True)
    return ranks.astype(np.float32) if distinct.size <= _FLOAT32_INTEGERS else values


def _values(ranking: NDArray[np.floating], objectives: Sequence[Objective]) -> dict[str, float]:
    return {objective.name: objective.value(ranking) for objective in objectives}
