"""What every engine runs on a machine: torchrun's elastic agent, with `recsys train` as its workers."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from recsys.launch.job import Job
from recsys.tracking.environment import JOB
from recsys.training.launcher import STORE_OF_THEIR_OWN
from recsys.training.stop import AGENT_SIGNALS

AGENT = ("-m", "torch.distributed.run")
# In the environment of a job's processes. The trainer tags its MLflow run with the first four.
NAME, ENGINE, ENGINE_ID, FOLDER = (JOB[f"job.{what}"] for what in ("name", "engine", "id", "folder"))
KEY = "RECSYS_JOB_KEY"


def environment(job: Job) -> dict[str, str]:
    """Environment variables of the agent and its workers; the engine adds ENGINE_ID, and LOGS where ranks shall write their own files."""
    return {
        **STORE_OF_THEIR_OWN,
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
        f"--signals-to-handle={AGENT_SIGNALS}",
        "--rdzv-backend=c10d",
    ]


def worker_command(job: Job, config: Path | str, output: Path | str) -> list[str]:
    """What the agent runs in each process, in every attempt; `config` and `output` are paths there."""
    warm = [f"--warm-start={job.warm_start}"] if job.warm_start else []
    return ["-m", "pipelines.train", str(config), f"--output={output}", "--resume-or-start", *warm]


def shell_command(words: Sequence[str]) -> str:
    """`words` for a shell script, an option a line."""
    return "".join((" \\\n  " if word.startswith("--") else " ") + shlex.quote(word) for word in words).strip()
