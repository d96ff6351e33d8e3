"""Starting one process a rank on this machine with torchrun's elastic agent."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.errors import InputError, JobError

BAD_INPUT = 2


def launch(module: str, arguments: Sequence[str], nproc: int) -> None:
    """Run `python -m module arguments` in `nproc` processes and wait for them.

    Raises InputError with a worker's own message when it ended with bad input, JobError when one failed otherwise.
    """
    # Without this the workers share the agent's store, and stale keys in it make restarts fail (pytorch issue 135712).
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // nproc)))
    from torch.distributed.elastic.multiprocessing.api import SignalException
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
    # What it would warn of is told in one line by whoever calls this.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        raise _cause(error.failures) from None


def report_failure(error: BaseException) -> None:
    """Leave a worker's message where its agent looks for it, so that it is told once and not by every rank."""
    told = str(error) if isinstance(error, InputError | JobError) else "".join(traceback.format_exception(error))
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        now = time.time()
        # The form that torchrun reads too, whose times are whole seconds.
        details = {"message": told, "extraInfo": {"timestamp": str(int(now))}, "time": now}
        Path(path).write_text(json.dumps({"message": details}))


def under_agent() -> bool:
    """Whether this process is a worker of torchrun's agent."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def _cause(failures: dict[int, Any]) -> InputError | JobError:
    """The failure that the others followed from, because a rank whose peer is gone fails a moment later.

    That is a rank that was killed, by anything but the agent's own SIGTERM, or else the first that told of its failure.
    """
    for rank, failure in failures.items():
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
            name = signal.Signals(-failure.exitcode).name
            return JobError(f"rank {rank} was killed by {name} (out of memory?); --resume goes on from the last checkpoint")
    reports = {rank: _report(failure.error_file) for rank, failure in failures.items()}
    told = sorted((report["time"], rank) for rank, report in reports.items() if report)
    if not told:
        return JobError("; ".join(f"rank {rank} ended with exit code {failure.exitcode}" for rank, failure in failures.items()))
    rank = told[0][1]
    kind = InputError if failures[rank].exitcode == BAD_INPUT else JobError
    return kind(reports[rank]["message"])


def _report(error_file: str) -> dict[str, Any]:
    path = Path(error_file)
    details = json.loads(path.read_text())["message"] if path.is_file() else {}
    return details if "time" in details else {}
