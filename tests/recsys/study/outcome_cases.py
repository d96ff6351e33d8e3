"""A study's outcomes with scores on disk: runs of differing skill on one log."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import BinaryTask, Config, DurationTask, Task
from recsys.config_file import dump_config
from recsys.evaluation.binary import auc
from recsys.evaluation.duration import duration_metrics
from recsys.study.child import Child
from recsys.study.folder import RESULT, StudyFolder
from recsys.study.outcome import Course, Outcome, Scores
from recsys.study.record import Line, StudyRecord
from recsys.training.record import write_json

TASKS: list[Task] = [
    BinaryTask(name="ctr", kind="binary", label="click"),
    BinaryTask(name="cvr", kind="binary", label="conversion", space="click"),
    DurationTask(name="dwell", kind="duration", label="seconds", threshold=10),
]
ROWS, USERS = 4_000, 400


class Log:
    """Rows of users, who differ in taste; a conversion counts on clicked rows alone."""

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.users = random.integers(0, USERS, ROWS)
        self.truth = random.normal(size=(3, USERS))[:, self.users] + random.normal(size=(3, ROWS))
        clicks = random.random(ROWS) < _sigmoid(self.truth[0])
        conversions = clicks & (random.random(ROWS) < _sigmoid(self.truth[1] - 0.5))
        self.labels = [clicks, conversions, np.where(clicks, np.exp(self.truth[2] + 2), 0)]
        self.counts = [np.ones(ROWS, bool), clicks, np.ones(ROWS, bool)]

    def scores(self, seed: int, noise: float) -> list[np.ndarray]:
        """A run's predictions, the noisier the worse."""
        random = np.random.default_rng(seed)
        seen = self.truth + noise * random.normal(size=self.truth.shape)
        return [
            column.astype(np.float32) for column in (_sigmoid(seen[0]), _sigmoid(seen[1] - 0.5), np.expm1(np.clip(seen[2] / 2 + 1.5, 0, 6)))
        ]

    def metrics(self, scores: Sequence[np.ndarray]) -> dict[str, float]:
        """`TASK/METRIC` of the deciding metrics."""
        (clicks, conversions, seconds), own = self.labels, [score[rows] for score, rows in zip(scores, self.counts, strict=True)]
        return {
            "ctr/auc": auc(own[0], clicks),
            "cvr/auc": auc(own[1], conversions[clicks]),
            "dwell/rmse_log1p": duration_metrics(own[2], seconds, 10)["rmse_log1p"],
        }


def outcome(log: Log, child: Child, folder: Path, *, noise: float = 1.0, keep: bool = True) -> Outcome:
    """A final child's outcome, with its scores in `folder`."""
    place = int.from_bytes(child.name.encode(), "big") % 2**31
    scores = log.scores(place, noise)
    test = {f"test/{name}": value for name, value in log.metrics(scores).items()}
    valid = {f"valid/{name}": value for name, value in log.metrics(log.scores(place + 1, noise)).items()}
    if keep:
        _keep(log, scores, folder / child.name)
    return Outcome(
        child=child,
        folder=folder,
        metrics=(test if child.stage == "final" else {}) | valid,
        scores=Scores(folder / child.name, "run", "user_id") if keep else None,
        seconds=10.0,
        seconds_per_step=0.1 * (1 + child.seed),
        cpu_seconds_per_step=0.2,
        samples_per_second=1000.0,
        peak_memory=10**9,
        conflict=math.nan if child.strategy == "single" else 0.25,
        contribution_variance=0.5,
        course=Course([10, 20, 30], {task.name: [1.0, 0.9, 1.1] for task in TASKS}, {task.name: [0.5, 0.4, 0.3] for task in TASKS}, []),
        best_step=30,
        steps=30,
        world_size=1,
        run_id=f"id-{child.name}",
    )


def study(
    folder: Path, strategies: Sequence[str] = ("single", "equal", "emtl", "famo"), seeds: int = 3, keep: bool = True
) -> list[Outcome]:
    """Every strategy on MMoE with every seed; `famo` is worse than the others."""
    log = Log()
    children = [Child(strategy, "single" if strategy == "single" else "mmoe", seed) for strategy in strategies for seed in range(seeds)]
    return [outcome(log, child, folder, noise=2.0 if child.strategy == "famo" else 1.0, keep=keep) for child in children]


def _keep(log: Log, scores: Sequence[np.ndarray], folder: Path) -> None:
    columns: dict[str, object] = {"file": ["part-0.parquet"] * ROWS, "row": np.arange(ROWS), "log/user_id": log.users}
    for task, label, counts, score in zip(TASKS, log.labels, log.counts, scores, strict=True):
        columns |= {f"label/{task.name}": label.astype(np.float32), f"valid/{task.name}": counts, f"score/run/{task.name}": score}
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "part-00000.parquet")


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def on_disk(outcomes: Sequence[Outcome], folder: StudyFolder, seeds: Sequence[int], config: Config) -> StudyRecord:
    """The folder that a comparison would have left, with the scores where they are; as many seeds as asked for, all strategies chosen."""
    folder.children.mkdir(parents=True)
    strategies = dict.fromkeys((part.child.strategy, part.child.architecture) for part in outcomes)
    for part in outcomes:
        scores = {"folder": str(part.scores.folder), "run": part.scores.run, "user": part.scores.user} if part.scores else None
        cost = {"seconds_per_step": part.seconds_per_step, "cpu_seconds_per_step": 0.2, "peak_memory_bytes": part.peak_memory}
        course = {name: getattr(part.course, name) for name in ("steps", "weights", "losses", "evaluations")}
        course |= {"conflict": None if math.isnan(part.conflict) else part.conflict, "contribution_variance": part.contribution_variance}
        plain = {name: getattr(part, name) for name in ("metrics", "seconds", "samples_per_second", "best_step", "steps", "world_size")}
        write_json(folder.about(part.child.name), {"child": part.child.to_json()})
        write_json(folder.run(part.child.name) / RESULT, plain | {"scores": scores, "cost": cost, "course": course, "run_id": None})
    record = StudyRecord(
        name="demo",
        command="recsys compare configs/demo.yaml --strategies all",
        created="2026-01-02T03:04:05+00:00",
        seeds=list(seeds),
        search_seeds=[1000],
        grid={},
        versions={},
        lines=[Line(strategy=strategy, architecture=architecture, given={}, chosen={}) for strategy, architecture in strategies],
    )
    record.save(folder.study)
    folder.config.write_text(dump_config(config))
    return record
