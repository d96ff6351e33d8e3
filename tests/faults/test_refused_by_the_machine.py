"""A machine that can't do what a job needs is told in one line: a full disk, a network interface that isn't there."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from recsys.distributed import process_group
from recsys.errors import InputError, JobError
from recsys.training.checkpoint import Checkpoints


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond that fails with an OSError, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_checkpoint_and_is_told_in_a_line(tmp_path: Path) -> None:
    with process_group():
        checkpoints = Checkpoints(tmp_path, rank=0)
        checkpoints.save({"table": torch.ones(50_000)}, {"clock": {"step": 1}}, best=False)
        for size in (100_000, 0):  # in the middle of a tensor, and at once
            with files_of_at_most(size), pytest.raises(JobError) as error:
                checkpoints.save({"table": torch.zeros(50_000)}, {"clock": {"step": 2}}, best=False)
            assert "step-00000002.writing: rank 0 could not write it" in str(error.value) and "\n" not in str(error.value)
        state = {"table": torch.empty(50_000)}
        assert checkpoints.load("latest", state) == {"clock": {"step": 1}}
        assert torch.equal(state["table"], torch.ones(50_000))
        checkpoints.save({"table": torch.zeros(50_000)}, {"clock": {"step": 2}}, best=False)
        assert checkpoints.index == {"latest": "step-00000002"}


def test_an_interface_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo,eth7")
    with (
        pytest.raises(InputError, match=r"GLOO_SOCKET_IFNAME=eth7: this machine has no such network interface; it has .*lo"),
        process_group(),
    ):
        pass
