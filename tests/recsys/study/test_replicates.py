from __future__ import annotations

import numpy as np
import pytest

from recsys.config import BinaryTask, DurationTask
from recsys.evaluation.binary import auc
from recsys.evaluation.bootstrap import bootstrap
from recsys.evaluation.compare.table import TaskRows
from recsys.evaluation.weighted import binary_statistic
from recsys.evaluation.weighted_duration import squared_errors
from recsys.study.analysis import replicates as module
from recsys.study.analysis.replicates import columns_of, resample

USERS, REPLICATES = 700, 400


def made_rows(kind: str, runs: int) -> list[TaskRows]:
    """Rows of users of whom some have none, and runs that are noisy in their own ways."""
    random = np.random.default_rng(7)
    users = np.sort(random.integers(0, USERS, 9_000)).astype(np.int32)
    users = users[users % 10 != 3]
    taste = random.normal(size=USERS)[users] + random.normal(size=users.size)
    if kind == "binary":
        labels = (random.random(users.size) < 1 / (1 + np.exp(1.5 - taste))).astype(np.float32)
        scores = [1 / (1 + np.exp(1.5 - taste - random.normal(size=users.size))) for _ in range(runs)]
        task: BinaryTask | DurationTask = BinaryTask(name="clicks", kind="binary", label="clicked")
    else:
        labels = np.exp(taste).astype(np.float32)
        scores = [np.exp(taste + random.normal(size=users.size)) for _ in range(runs)]
        task = DurationTask(name="seconds", kind="duration", label="watched", threshold=1)
    return [TaskRows(task, np.arange(users.size), labels, users, {"run": score.astype(np.float32)}) for score in scores]


@pytest.mark.parametrize("kind", ["binary", "duration"])
def test_replicates_are_those_of_the_exact_bootstrap(kind: str) -> None:
    runs = made_rows(kind, 2)
    found = list(resample((columns_of(rows, USERS) for rows in runs), USERS, REPLICATES))
    make = binary_statistic if kind == "binary" else squared_errors
    name = "auc" if kind == "binary" else "rmse_log1p"
    exact = bootstrap(
        {
            place: make(rows.scores["run"], rows.positive if kind == "binary" else rows.labels, rows.clusters)
            for place, rows in enumerate(runs)
        },
        USERS,
        REPLICATES,
    )
    for place, run in enumerate(found):
        if kind == "duration":  # exact
            np.testing.assert_allclose(run.replicates, exact[place, name], rtol=1e-12)
        else:  # to the first order in the weights
            assert run.value == auc(runs[place].scores["run"], runs[place].positive)
            deviation = exact[place, name].std()
            assert np.sqrt(np.square(run.replicates - exact[place, name]).mean()) < 0.1 * deviation
            assert run.replicates.std() == pytest.approx(deviation, rel=0.02)
    differences = [found[1].replicates - found[0].replicates, exact[1, name] - exact[0, name]]
    assert differences[0].std() == pytest.approx(differences[1].std(), rel=0.02)
    assert np.corrcoef(differences)[0, 1] > 0.99


def test_batches_of_runs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [rows for kind in ("binary", "duration") for rows in made_rows(kind, 3)]
    whole = list(resample((columns_of(rows, USERS) for rows in runs), USERS, 100))
    monkeypatch.setattr(module, "BATCH_NUMBERS", 5 * USERS)
    parts = list(resample((columns_of(rows, USERS) for rows in runs), USERS, 100))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.replicates, other.replicates, rtol=1e-12)


def test_a_task_without_positives_has_no_replicates() -> None:
    (rows,) = made_rows("binary", 1)
    empty = TaskRows(rows.task, rows.rows, np.zeros_like(rows.labels), rows.clusters, rows.scores)
    (found,) = resample([columns_of(empty, USERS)], USERS, 10)
    assert np.isnan(found.value) and np.isnan(found.replicates).all()
