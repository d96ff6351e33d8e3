"""Studies with known truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.study.analysis.field import Field
from recsys.study.analysis.group import Described
from recsys.study.findings import FIGURES, StudyTask

TASKS = [
    StudyTask(name="ctr", kind="binary", metric="auc", higher_is_better=True),
    StudyTask(name="cvr", kind="binary", metric="auc", higher_is_better=True),
    StudyTask(name="dwell", kind="duration", metric="rmse_log1p", higher_is_better=False),
]
TRUTH = np.array([0.76, 0.75, 1.17])


def made_field(
    strategies: int,
    seeds: int,
    replicates: int,
    *,
    of_seeds: float = 0.002,
    of_rows: float = 0.001,
    planted: Mapping[str, tuple[float, float, float]] | None = None,
    random_seed: int = 0,
) -> Field:
    """`single`, `equal` and `strategies` others s1, s2, ..., all equally good but for what is `planted`.

    A run's metric is the truth + an effect of its seed, shared by all + one of its own + what the rows do to this entry, in all seeds
    alike. Replicates spread as the rows do.
    """
    random = np.random.default_rng(random_seed)
    names = ["single", "equal", *(f"s{place}" for place in range(1, strategies + 1))]
    shape = (len(names), seeds, len(TASKS))
    effect = np.array([(planted or {}).get(name, (0.0, 0.0, 0.0)) for name in names])[:, None]
    shared = of_seeds * random.normal(size=(1, *shape[1:]))
    true = TRUTH + effect + shared + of_seeds * random.normal(size=shape)
    test = true + of_rows * random.normal(size=(shape[0], 1, shape[2]))
    noise = of_rows * random.normal(size=(shape[0], 1, shape[2], replicates))
    valid = true + of_rows * random.normal(size=(shape[0], 1, shape[2]))
    ranked = np.array([name != "single" for name in names])
    return Field(names, list(range(seeds)), TASKS, ranked, test, valid, test[..., None] + noise, clusters=5_000)


def described(field: Field) -> list[Described]:
    """The entries of `made_field`, with costs and conflicts of their own."""
    random = np.random.default_rng(1)
    found = []
    for name in field.names:
        figures = {figure: {seed: random.uniform(0.9, 1.1) for seed in field.seeds} for figure in FIGURES}
        figures["peak_memory"] = dict.fromkeys(field.seeds, 2e9)
        found.append(Described(name, {}, 1, figures, []))
    return found
