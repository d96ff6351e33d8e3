"""A small synthetic log and jobs on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from job_cases import write_job

from recsys.data.synthetic import Spec, generate


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of 12,000 rows with the columns of the demo."""
    folder = tmp_path_factory.mktemp("log") / "small"
    generate(Spec(rows=12_000, users=400, items=300, days=10, seed=1), folder)
    return folder


@pytest.fixture
def job_file(small_log: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the demo's configuration, made smaller, and returns its path."""
    return lambda **sections: write_job(small_log, tmp_path, **sections)
