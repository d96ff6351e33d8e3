"""How many training seeds a question needs, and what the seeds at hand could have shown."""

from __future__ import annotations

import math

from scipy import special

from recsys.evaluation.intervals import POWER

MOST_SEEDS = 1000


def detectable(seeds: int, seeds_deviation: float, rows_deviation: float, level: float) -> float:
    """The true mean difference that a two-sided test at `level` finds with 80 % power.

    The mean over S seeds has variance s^2 / S + rows_deviation^2 (`over_seeds`); the quantiles are Student's with S - 1 degrees of
    freedom, a little too careful where the rows have the larger part. NaN with fewer than two seeds.
    """
    if seeds < 2 or math.isnan(seeds_deviation) or math.isnan(rows_deviation):
        return math.nan
    quantiles = special.stdtrit(seeds - 1, 1 - level / 2) + special.stdtrit(seeds - 1, POWER)
    return float(quantiles) * math.sqrt(seeds_deviation**2 / seeds + rows_deviation**2)


def seeds_needed(difference: float, seeds_deviation: float, rows_deviation: float, level: float) -> int | None:
    """The fewest seeds with which `difference` is `detectable`; None where no number of them (up to 1,000) would do.

    That is so where the rows alone leave more open than the difference: more seeds don't help, more rows would.
    """

    def enough(seeds: int) -> bool:
        return detectable(seeds, seeds_deviation, rows_deviation, level) <= abs(difference)

    if difference == 0 or not enough(MOST_SEEDS):
        return None
    few, many = 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many
