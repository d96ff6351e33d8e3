"""Differences over training seeds: what the seeds spread, kept apart from what the rows do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recsys.evaluation.intervals import Uncertain, uncertain


class OverSeeds(NamedTuple):
    """A mean difference over seeds with its interval; the two deviations of which that is made, and the degrees of freedom."""

    mean: Uncertain
    seeds_deviation: float
    rows_deviation: float
    degrees: float


def over_seeds(differences: Sequence[float], replicates: ArrayLike, clusters: int) -> OverSeeds:
    """Combine the differences of pairs of runs, a pair a seed, that were evaluated on the same rows.

    d_s = true difference + effect of seed s + effect of the rows + effect of both. The rows are shared, so that their effect doesn't
    average out over seeds: the variance of the mean is s^2 / S + rows_deviation^2, with s^2 the variance over seeds and rows_deviation
    the bootstrap's deviation of the mean over seeds. (A random-effects meta-analysis as of DerSimonian & Laird takes the studies' rows as
    different ones, which here would promise too much.) The effect of both is in either part: an interval may be a little too wide, never
    too narrow for it. Degrees of freedom are Welch and Satterthwaite's.

    Args:
        differences: (S,) on all rows.
        replicates: (S, r) the same in the bootstrap's replicates, the same weights for each seed.
        clusters: that were resampled.

    Returns:
        With one seed, seeds_deviation and the interval are NaN: one run says nothing of another.
    """
    each = np.asarray(differences, np.float64)
    table = np.asarray(replicates, np.float64)
    if table.ndim != 2 or len(table) != each.size:
        raise ValueError(f"{each.size} seeds but replicates of shape {table.shape}")
    of_mean = table.mean(0)
    defined = of_mean[~np.isnan(of_mean)]
    rows = float(defined.std(ddof=1)) if defined.size > 1 else math.nan
    seeds = float(each.std(ddof=1)) if each.size > 1 else math.nan
    of_seeds, of_rows = seeds**2 / max(1, each.size), rows**2
    spread = of_seeds**2 / max(1, each.size - 1) + of_rows**2 / max(1, clusters - 1)
    degrees = (of_seeds + of_rows) ** 2 / spread if spread else math.nan
    return OverSeeds(uncertain(float(each.mean()), math.sqrt(of_seeds + of_rows), degrees), seeds, rows, degrees)
