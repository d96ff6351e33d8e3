from __future__ import annotations

import subprocess
import sys

import pytest

from recsys.config import BinaryTask, DurationTask, Task
from recsys.errors import InputError
from recsys.evaluation.names import check_metric, higher_is_better, metric_names

TASKS: list[Task] = [BinaryTask(kind="binary", name="ctr", label="click"), DurationTask(kind="duration", name="dwell", label="seconds")]


@pytest.mark.parametrize(
    ("name", "higher"),
    [("mean/auc", True), ("ctr/auc", True), ("dwell/spearman", True), ("dwell/xauc", True), ("ctr/log_loss", False)]
    + [(f"dwell/{error}", False) for error in ("mae", "rmse", "rmse_log1p")],
)
def test_direction_of_a_metric(name: str, higher: bool) -> None:
    assert higher_is_better(name) is higher
    check_metric(name, TASKS)


def test_direction_of_a_metric_of_offline_evaluation() -> None:
    assert all(higher_is_better(f"ctr/{name}") for name in ("auprc", "gauc", "recall@5", "ndcg@10"))
    assert not any(higher_is_better(name) for name in ("normalized_entropy", "ece"))
    assert higher_is_better("recall@K") and higher_is_better("ndcg@K")


@pytest.mark.parametrize("name", ["ctr/calibration", "ctr/rows", "dwell/positives"])
def test_metrics_without_a_direction_cannot_choose_a_checkpoint(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' has no better direction"):
        check_metric(name, TASKS)


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("ctr/uac", "ctr/auc"), ("dwel/xauc", "dwell/xauc"), ("ctr/logloss", "ctr/log_loss"), ("ctr/mae", "ctr/auc")]
)
def test_an_unknown_metric_is_refused_with_the_nearest_name(wrong: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no metric '{wrong}'; the nearest is '{nearest}'"):
        check_metric(wrong, TASKS)


def test_names_are_in_the_order_of_the_tasks() -> None:
    assert metric_names(TASKS)[0] == "ctr/auc"
    assert metric_names(TASKS)[-1] == "mean/auc"
    assert len(set(metric_names(TASKS))) == 5 + 8 + 1


def test_checking_a_name_needs_no_torch() -> None:
    code = "import sys, recsys.evaluation.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
