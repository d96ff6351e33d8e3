"""Studies with known truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from recsys.study.analysis.field import Field
from recsys.study.analysis.group import Described, group_of
from recsys.study.figures import Course, course
from recsys.study.findings import FIGURES, Findings, StudyTask

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
        found.append(Described(name, {}, 1, 0, figures, []))
    return found


def made_findings(field: Field, parts: list[Described] | None = None) -> Findings:
    """What is found of one architecture."""
    return Findings(
        study="demo",
        command="recsys compare configs/demo.yaml --strategies all",
        created="2026-01-02 03:04:05 UTC",
        versions={"torch": "2"},
        tasks=TASKS,
        rows=40_000,
        clusters=field.clusters,
        cluster="user_id",
        replicates=field.replicates.shape[3],
        groups=[group_of("mmoe", field, parts or described(field))],
        missing=[],
        failed=[],
        notes=[],
        warnings=[],
    )


def made_courses(findings: Findings) -> dict[str, dict[str, Course]]:
    """Weights that wander, of three seeds."""
    random = np.random.default_rng(2)
    steps = np.arange(10.0, 400.0, 10)

    def wandering() -> np.ndarray:
        raw = np.exp(np.cumsum(0.1 * random.normal(size=(steps.size, len(TASKS))), axis=0))
        return len(TASKS) * raw / raw.sum(1, keepdims=True)

    return {
        group.architecture: {
            entry.name: course([(steps, wandering()) for _ in range(3)]) for entry in group.entries if entry.strategy != "single"
        }
        for group in findings.groups
    }
