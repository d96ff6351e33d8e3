"""Slurm's commands, with their errors in a line."""

from __future__ import annotations

import os
import re
import subprocess

from recsys.errors import InputError, JobError

_SECONDS = 90  # Slurm's own commands give up after a minute or so
_UNREACHABLE = re.compile(
    "unable to contact slurm|connect failure|connection refused|zero bytes|timed out|configuration source|unable to process configuration",
    re.IGNORECASE,
)


class Refused(Exception):
    """Slurm answered and said no; the message is its own."""


def slurm(command: str, *arguments: str) -> str:
    """What a command of Slurm's prints.

    Raises InputError where the command isn't there, JobError where no controller answers, Refused with its words where it says no.
    """
    environment = {**os.environ, "SLURM_TIME_FORMAT": "standard"}
    try:
        ended = subprocess.run([command, *arguments], capture_output=True, text=True, timeout=_SECONDS, env=environment)
    except FileNotFoundError:
        raise InputError(f"{command} is not on PATH; launch where Slurm's commands are, such as on a login node of the cluster") from None
    except subprocess.TimeoutExpired:
        raise JobError(f"Slurm doesn't answer: {command} took more than {_SECONDS} seconds") from None
    if ended.returncode:
        raise _error(command, ended.stderr)
    return ended.stdout


def _error(command: str, stderr: str) -> JobError | Refused:
    """One line of what a command complained of, without its own name before each."""
    lines = [re.sub(rf"^({command}|slurm_\w+):? *((error|fatal): *)?", "", line).strip() for line in stderr.splitlines()]
    told = "; ".join(dict.fromkeys(line for line in lines if line)) or f"{command} failed without a word"
    if _UNREACHABLE.search(told):
        return JobError(f"Slurm's controller can't be reached: {told}")
    return Refused(told)
