"""Starting one process a rank on this machine with torchrun's elastic agent."""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from recsys.errors import InputError

BAD_INPUT = 2


class WorkerError(RuntimeError):
    """A worker process failed; its own output says why."""


def launch(module: str, arguments: Sequence[str], nproc: int) -> None:
    """Run `python -m module arguments` in `nproc` processes and wait for them.

    Raises InputError with a worker's own message when it ended with bad input, WorkerError when one failed otherwise.
    """
    # Without this the workers share the agent's store, and stale keys in it make restarts fail (pytorch issue 135712).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=nproc,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        # The machine's own name may not resolve, as in many containers, and all ranks are here.
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        message = _message(failure.error_file)
        if failure.exitcode == BAD_INPUT and message:
            raise InputError(message) from None
        raise WorkerError(message or f"rank {rank} ended with exit code {failure.exitcode}") from None


def report_failure(error: BaseException) -> None:
    """Leave a worker's message where its agent looks for it, so that it is told once and not by every rank."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        details = {"message": str(error), "extraInfo": {"timestamp": str(int(time.time()))}}
        Path(path).write_text(json.dumps({"message": details}))


def under_agent() -> bool:
    """Whether this process is a worker of torchrun's agent."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _message(error_file: str) -> str:
    path = Path(error_file)
    if not path.is_file():
        return ""
    details = json.loads(path.read_text())["message"]
    return details["message"] if isinstance(details, dict) else str(details)
