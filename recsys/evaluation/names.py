"""Names of metrics, `TASK/METRIC`, and which way is better. Cheap to import: a configuration is checked with it before torch is."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from recsys.config import Task
from recsys.errors import InputError

BINARY = ("auc", "log_loss", "calibration", "rows", "positives")
DURATION = ("mae", "rmse", "rmse_log1p", "spearman", "xauc", "auc", "rows", "positives")
MEAN_AUC = "mean/auc"

# What an offline evaluation adds: metrics of rows, and (below) of groups of rows.
BINARY_OFFLINE = (*BINARY, "auprc", "normalized_entropy", "ece")
BY_DURATION = ("rmse_by_duration", "rmse_log1p_by_duration", "spearman_by_duration", "xauc_by_duration")
BINARY_GROUPED = ("gauc", "recall@K", "ndcg@K")  # K: a number

_BETTER_HIGH = {"auc", "spearman", "xauc", "auprc", "gauc", "recall", "ndcg"}
_BETTER_LOW = {"log_loss", "mae", "rmse", "rmse_log1p", "normalized_entropy", "ece"}


def metric_names(tasks: Iterable[Task]) -> list[str]:
    """Every metric of an evaluation of `tasks`, in the order in which it is reported."""
    return [f"{task.name}/{metric}" for task in tasks for metric in (BINARY if task.kind == "binary" else DURATION)] + [MEAN_AUC]


def higher_is_better(name: str) -> bool:
    """Whether the better of two values of metric `name` (`TASK/METRIC`) is the larger one.

    Raises:
        InputError: neither way is better, as for a calibration (best at 1) or a count.
    """
    metric = name.rpartition("/")[2].partition("@")[0].removesuffix("_by_duration")
    if metric in _BETTER_HIGH:
        return True
    if metric in _BETTER_LOW:
        return False
    raise InputError(f"evaluate.metric: {name!r} has no better direction; choose the checkpoint by one such as {MEAN_AUC!r}")


def check_metric(name: str, tasks: Iterable[Task]) -> None:
    """Refuses a configured `evaluate.metric` that an evaluation of `tasks` doesn't report, or that can't rank checkpoints.

    Raises:
        InputError: with the nearest name that would do.
    """
    known = metric_names(tasks)
    if name in known:
        higher_is_better(name)
        return
    usable = [metric for metric in known if metric.rpartition("/")[2] in _BETTER_HIGH | _BETTER_LOW]
    nearest = get_close_matches(name, usable, n=1, cutoff=0.0)
    raise InputError(f"evaluate.metric: no metric {name!r}; the nearest is {nearest[0]!r}, known are {', '.join(usable)}")
