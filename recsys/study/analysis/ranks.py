"""Ranks over blocks of task and seed: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from recsys.evaluation.verdict import LEVEL


class Ranked(NamedTuple):
    """Mean ranks of k entries over b blocks (1 is best), and what a test of "all are alike" makes of them.

    mean: (k,). statistic, p: Friedman's chi-square, corrected for ties. critical_difference: two mean ranks that lie closer than this
    can't be told apart at 5 % (Nemenyi); NaN with fewer than two entries or blocks.
    """

    mean: NDArray[np.float64]
    blocks: int
    statistic: float
    p: float
    critical_difference: float


def rank(values: NDArray[np.float64]) -> Ranked:
    """Rank (b, k) values, higher ones first, within each block; ties share the mean of their ranks.

    Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets" (JMLR 2006). Blocks are taken as independent of each other.
    """
    blocks, count = values.shape
    ranks = stats.rankdata(-values, axis=1)
    if blocks < 2 or count < 2:
        return Ranked(ranks.mean(0) if blocks else np.full(count, np.nan), blocks, math.nan, math.nan, math.nan)
    ties = _ties(ranks)
    spread = 12 * blocks / (count * (count + 1)) * float(np.square(ranks.mean(0) - (count + 1) / 2).sum())
    statistic = spread / (1 - ties / (blocks * count * (count**2 - 1))) if ties < blocks * count * (count**2 - 1) else math.nan
    return Ranked(ranks.mean(0), blocks, statistic, float(stats.chi2.sf(statistic, count - 1)), critical_difference(count, blocks))


def critical_difference(entries: int, blocks: int) -> float:
    """Nemenyi's: the 95 % point of the studentized range of `entries` (infinite degrees of freedom) / sqrt 2 * sqrt(k (k + 1) / (6 b))."""
    quantile = float(stats.studentized_range.ppf(1 - LEVEL, entries, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(entries * (entries + 1) / (6 * blocks))


def alike(mean_ranks: NDArray[np.float64], critical: float) -> list[list[int]]:
    """The largest groups of two and more entries whose mean ranks span no more than `critical`, as positions from the best on."""
    order = np.argsort(mean_ranks, kind="stable")
    ends = np.searchsorted(mean_ranks[order], mean_ranks[order] + critical, "right")
    found: list[list[int]] = []
    last = 0
    for start, end in enumerate(ends.tolist()):
        if end - start > 1 and end > last:
            found.append(order[start:end].tolist())
        last = max(last, end)
    return found


def whole_part(present: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of an unfinished study, entries and seeds of which every pair is there: as many cells as can be had by taking the fullest seeds.

    Args:
        present: (k, s) whether an entry has a seed.

    Returns:
        (k,) entries and (s,) seeds to keep.
    """
    order = np.argsort(-present.sum(0), kind="stable")
    most, best = 0, (np.zeros(len(present), bool), np.zeros(present.shape[1], bool))
    for taken in range(1, order.size + 1):
        seeds = np.zeros(order.size, bool)
        seeds[order[:taken]] = True
        entries = np.asarray(present[:, seeds].all(1))
        if taken * int(entries.sum()) > most:
            most, best = taken * int(entries.sum()), (entries, seeds)
    return best


def _ties(ranks: NDArray[np.float64]) -> float:
    """Sum over blocks and groups of t equal ranks of t^3 - t."""
    return float(sum((counts**3 - counts).sum() for counts in (np.unique(row, return_counts=True)[1] for row in ranks)))
