"""A rank that hangs ends the job, and isn't taken for one that was killed because the agent had to kill it."""

from __future__ import annotations

from pathlib import Path

import pytest

from recsys.errors import JobError
from recsys.training.launcher import launch


@pytest.mark.slow
def test_a_rank_that_hangs_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "1")
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[1]}:{Path(__file__).parents[2]}")
    with pytest.raises(JobError, match=r"rank 0 on .* hears nothing more from another rank"):
        launch("hung_rank", [], 2)
