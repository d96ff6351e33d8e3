"""What a run says of its cost and its course."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import emtl
from recsys.training.cost import Pace
from recsys.training.recording import Recording
from recsys.training.telemetry import equity_names

TASKS = ["a", "b", "c"]


@given(st.lists(arrays(np.float64, (3, 4), elements=st.floats(-2, 2, width=16)), min_size=1, max_size=5), st.sampled_from([0, 1, 2, None]))
def test_means_over_the_run_are_those_of_equity(gradients: list[np.ndarray], absent: int | None) -> None:
    """Of conflict and contribution variance, also where a task is absent from every step."""
    recording, expected = Recording(), []
    losses = torch.tensor([0.7, 0.2, 3.0], dtype=torch.float64)
    for step, gradient in enumerate(gradients):
        raw = torch.from_numpy(gradient)
        raw[raw.norm(dim=1) < 1e-3] = 1.0
        if absent is not None:
            raw[absent] = 0
        found = emtl.equity(losses, raw @ raw.T, torch.ones(3))
        values = torch.cat([found.contributions, found.shares, found.norms, torch.stack([found.variance, found.conflict])]).tolist()
        pairs = [float(found.cosines[first, second]) for first, second in ((0, 1), (0, 2), (1, 2))]
        metrics = dict(zip(equity_names(TASKS), [*values, *pairs], strict=True))
        recording.note_step(step, TASKS, metrics | {f"{task}/{what}": 1.0 for task in TASKS for what in ("loss", "weight")})
        expected.append((float(found.conflict), float(found.variance)))
    course = recording.course(TASKS)
    np.testing.assert_allclose((course["conflict"], course["contribution_variance"]), np.mean(expected, 0), rtol=1e-6, atol=1e-12)
    assert course["weights"] == {task: [1.0] * len(gradients) for task in TASKS}


def test_nothing_is_said_of_what_was_not_measured() -> None:
    recording = Recording()
    recording.note_step(10, TASKS, {f"{task}/{what}": 1.0 for task in TASKS for what in ("loss", "weight")})
    assert recording.course(TASKS)["conflict"] is None and recording.course(TASKS)["contribution_variance"] is None


def test_time_outside_the_steps_does_not_count() -> None:
    pace = Pace()
    assert math.isnan(pace.samples_per_second)
    for _ in range(2):
        pace.start()
        pace.count(100)
        time.sleep(0.02)
        pace.stop()
        time.sleep(0.2)
    assert 0.04 <= pace.seconds < 0.2 and pace.samples_per_second == pytest.approx(200 / pace.seconds) and pace.steps == 2
