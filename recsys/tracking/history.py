"""What the figures of a training are drawn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike


@dataclass(frozen=True)
class History:
    """What a training went through.

    tasks: K names. steps: (S,) numbers of the steps that were noted. weights, losses: (S, K). evaluations: (step, metrics by
    `TASK/METRIC`) of each evaluation.
    contributions: (S, K) relative contributions, cosines: (S, K (K - 1) / 2) of the tasks' gradients, pair by pair as
    itertools.combinations has them; None where they were not measured.
    """

    tasks: Sequence[str]
    steps: ArrayLike
    weights: ArrayLike
    losses: ArrayLike
    evaluations: Sequence[tuple[int, Mapping[str, float]]]
    contributions: Sequence[Sequence[float | None]] = ()
    cosines: Sequence[Sequence[float | None]] = ()
