"""Entries as points among the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.study.findings import Entry, StudyTask


def upwards(entries: Sequence[Entry], tasks: Sequence[StudyTask]) -> NDArray[np.float64]:
    """(E, K) means over seeds on the test split, turned so that higher is better."""
    return np.array([[entry.test[task.name].mean * (1 if task.higher_is_better else -1) for task in tasks] for entry in entries])
