"""Starting one process a rank on this machine with torchrun's elastic agent."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
import traceback
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.cores import AGENT, number_of_cores
from recsys.errors import InputError, JobError, PeerLost, Stopped
from recsys.training.stop import AGENT_SIGNALS, SIGNALS

# Exit codes of workers; 75 is EX_TEMPFAIL of sysexits.h: the same once more goes on.
CODES: dict[type[Exception], int] = {InputError: 2, JobError: 1, Stopped: 75}
LOGS = "RECSYS_LOGS"  # in the environment of workers: folder for a file of each rank's own
# Without this the workers share the agent's store, and stale keys in it make restarts fail (pytorch issue 135712).
STORE_OF_THEIR_OWN = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
_TOLD_HERE = "RECSYS_FAILURES_TOLD"  # in the environment of workers whose failure is told by who started them
_SILENCE = "hears nothing more from another rank"  # as recsys.network tells it


def launch(module: str, arguments: Sequence[str], nproc: int) -> None:
    """Run `python -m module arguments` in `nproc` processes and wait for them.

    Raises InputError with a worker's own message when it ended with bad input, Stopped when it was told to stop, JobError when one failed
    otherwise.
    """
    os.environ |= STORE_OF_THEIR_OWN
    os.environ[_TOLD_HERE] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, number_of_cores() // nproc)))
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
        signals_to_handle=AGENT_SIGNALS,
    )
    silence_agent()  # what it would warn of is told in one line by whoever calls this
    try:
        elastic_launch(config, sys.executable)("-m", module, *arguments)
    except SignalException as error:
        if error.sigval in SIGNALS:
            raise Stopped(f"by {error.sigval.name}; --resume goes on from the last checkpoint") from None
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        raise cause_of(error.failures) from None


def silence_agent() -> None:
    """Keep torchrun's agent from logging. Its loggers have levels of their own, so what they say is stopped on its way up."""
    logger = logging.getLogger("torch.distributed.elastic")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False


def report_failure(error: BaseException) -> None:
    """Leave a worker's message where its agent looks for it, so that it is told once and not by every rank."""
    told = str(error) if isinstance(error, tuple(CODES)) else "".join(traceback.format_exception(error))
    if isinstance(error, PeerLost) and not {_TOLD_HERE, LOGS} & os.environ.keys():
        # An agent that is cut off, too, may never get to tell it.
        print(f"failed: {told}", file=sys.stderr, flush=True)
    if LOGS in os.environ:
        print(f"{headline(error)}: {told}", flush=True)
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        now = time.time()
        # The form that torchrun reads too, whose times are whole seconds.
        details = {"message": told, "extraInfo": {"timestamp": str(int(now))}, "time": now}
        Path(path).write_text(json.dumps({"message": details}))


def exit_code(error: BaseException) -> int:
    """What a worker that ended with `error` tells its agent."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), 1)


def headline(error: BaseException) -> str:
    """The word before an error's line."""
    return "error" if isinstance(error, InputError) else "stopped" if isinstance(error, Stopped) else "failed"


def open_log() -> None:
    """Print into a file of this rank's own, behind what earlier attempts printed, where the environment names a folder for them."""
    folder = os.environ.get(LOGS)
    if not (folder and under_agent()):
        return
    file = os.open(Path(folder) / f"rank-{os.environ['RANK']}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    attempt = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) + 1
    place = f"rank {os.environ['RANK']} of {os.environ['WORLD_SIZE']} on {socket.gethostname()}"
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S%z')} attempt {attempt}, {place}, process {os.getpid()}", flush=True)


def under_agent() -> bool:
    """Whether this process is a worker of torchrun's agent."""
    return AGENT in os.environ


def cause_of(failures: dict[int, Any]) -> Exception:
    """The failure that the others followed from, because a rank whose peer is gone fails a moment later.

    That is a rank that was killed, by anything but the agent's own SIGTERM, or else the first that told of its failure. A rank that waited
    in vain comes before both: the one that it waited for doesn't heed SIGTERM either, so that the agent kills it.
    """
    reports = {rank: _report(failure.error_file) for rank, failure in failures.items()}
    for report in reports.values():
        if _SILENCE in report.get("message", ""):
            return JobError(report["message"])
    for rank, failure in failures.items():
        if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
            name = signal.Signals(-failure.exitcode).name
            guess = " (out of memory?)" if name == "SIGKILL" else ""
            return JobError(f"rank {rank} was killed by {name}{guess}; --resume goes on from the last checkpoint")
    told = sorted((report["time"], rank) for rank, report in reports.items() if report)
    if not told:
        return JobError("; ".join(f"rank {rank} ended with exit code {failure.exitcode}" for rank, failure in failures.items()))
    rank = told[0][1]
    kind = next((kind for kind, code in CODES.items() if code == failures[rank].exitcode), JobError)
    return kind(reports[rank]["message"])


def _report(error_file: str) -> dict[str, Any]:
    path = Path(error_file)
    details = json.loads(path.read_text())["message"] if path.is_file() else {}
    return details if "time" in details else {}
