"""What every engine runs on a machine: torchrun's elastic agent, with `recsys train` as its workers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from recsys.launch.job import Job

AGENT = ("-m", "torch.distributed.run")
# In the environment of a job's processes. The trainer tags its MLflow run with the first four.
NAME, ENGINE, ENGINE_ID, FOLDER, KEY, LOGS = (
    "RECSYS_JOB_NAME",
    "RECSYS_JOB_ENGINE",
    "RECSYS_JOB_ID",
    "RECSYS_JOB_FOLDER",
    "RECSYS_JOB_KEY",
    "RECSYS_LOGS",
)


def environment(job: Job) -> dict[str, str]:
    """Environment variables of the agent and its workers; the engine adds ENGINE_ID, and LOGS where ranks shall write their own files."""
    return {
        # Without this the workers share the agent's store, and stale keys in it make restarts fail (pytorch issue 135712).
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        # Stores that warn of a peer which went first, as at the end of every run.
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        "PYTHONUNBUFFERED": "1",
        NAME: job.name,
        ENGINE: job.profile.engine,
        FOLDER: str(job.folder),
        KEY: job.key,
        **job.profile.environment,
    }


def agent_options(job: Job) -> list[str]:
    """Options of torchrun that are the same on every engine, which adds endpoint and id of the rendezvous, and --log-dir."""
    return [
        f"--nnodes={job.nodes}",
        f"--nproc-per-node={job.nproc}",
        f"--max-restarts={job.profile.max_restarts}",
        f"--shutdown-timeout={job.profile.stop_seconds}",
        # A scheduler's warning before the end of a job's time is SIGUSR1.
        "--signals-to-handle=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1",
        "--rdzv-backend=c10d",
    ]


def worker_command(job: Job, config: Path | str, output: Path | str) -> list[str]:
    """What the agent runs in each process, in every attempt; `config` and `output` are paths there."""
    warm = [f"--warm-start={job.warm_start}"] if job.warm_start else []
    return ["-m", "pipelines.train", str(config), f"--output={output}", "--resume-or-start", *warm]


def shell_command(words: Sequence[str]) -> str:
    """`words` for a shell script, an option a line."""
    return "".join((" \\\n  " if word.startswith("--") else " ") + shlex.quote(word) for word in words).strip()
