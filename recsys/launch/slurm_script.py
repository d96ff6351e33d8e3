"""The batch scripts that Slurm gets."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from recsys.errors import InputError
from recsys.launch.agent import AGENT, ENGINE_ID, agent_options, environment, worker_command
from recsys.launch.job import Job
from recsys.launch.logs import agent_file
from recsys.launch.slurm_profile import SECONDS_TO_REQUEUE, SlurmProfile
from recsys.training.launcher import LOGS


class _Shell(str):
    """Text that is shell itself; everything else is quoted where it enters a script."""


def job_script(job: Job, profile: SlurmProfile) -> str:
    """The script of a training job: one agent a machine."""
    directives = {
        "job-name": job.name,
        "nodes": str(job.nodes),
        **resources(profile, job.nproc),
        "output": _file_name(agent_file(job)),
        "chdir": str(job.workdir),
    }
    python = profile.python or ("python" if profile.image else sys.executable)
    agent = [python, *AGENT, *agent_options(job), f"--log-dir={job.logs / 'attempts'}"]
    return _render(
        "slurm_job.sh",
        profile,
        directives,
        variables=environment(job) | {LOGS: str(job.logs)},
        engine_id=_Shell(ENGINE_ID),
        folder=job.folder,
        nproc=job.nproc,
        agent=_option_a_line(_contained(agent, profile, job.workdir)),
        worker=worker_command(job, job.config_file, job.output),
        inside=_srun_options(profile, job.workdir),
    )


def array_script(name: str, profile: SlurmProfile, commands: Sequence[Sequence[str]], limit: int, folder: Path, workdir: Path) -> str:
    """The script of an array of `commands`, `limit` at once, each on one machine; what they print is in `folder`/logs/NUMBER.log."""
    directives = {
        "job-name": name,
        "array": f"0-{len(commands) - 1}%{limit}",
        "nodes": "1",
        **resources(profile, profile.nproc),
        "output": _file_name(folder / "logs") + "/%a.log",
        "chdir": str(workdir),
    }
    return _render(
        "slurm_array.sh",
        profile,
        directives,
        variables=profile.environment,
        folder=folder,
        commands=[_contained(command, profile, workdir) for command in commands],
        inside=_srun_options(profile, workdir),
    )


def resources(profile: SlurmProfile, nproc: int) -> dict[str, str | None]:
    """What of the cluster a machine's share is, and how the job may be stopped and started again; options of sbatch."""
    gpus = f"{profile.gpu_type}:{profile.gpus}" if profile.gpu_type else str(profile.gpus)
    asked = {
        "ntasks-per-node": "1",
        "cpus-per-task": str(profile.cpus or nproc),
        "gpus-per-node": gpus if profile.gpus else None,
        "mem": profile.memory,
        "time": profile.time_limit,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
    }
    return {
        **{name: value for name, value in asked.items() if value is not None},
        **profile.options,
        "requeue" if profile.requeues else "no-requeue": None,
        "signal": f"USR1@{profile.stop_seconds + SECONDS_TO_REQUEUE}",
        "open-mode": "append",
    }


def check_path(path: Path) -> None:
    """Raise InputError for a folder whose name a line of options can't hold, or which Slurm reads otherwise than it is written."""
    if found := re.search(r"[\x00-\x1f\x7f\\]", str(path)):
        raise InputError(f"{str(path)!r}: has {found[0]!r} in its name, which Slurm can't take; use another folder")


def _render(template: str, profile: SlurmProfile, directives: dict[str, str | None], **values: Any) -> str:
    environment = Environment(loader=PackageLoader("recsys.launch"), undefined=StrictUndefined, trim_blocks=True, finalize=_quote)
    lines = [f"#SBATCH --{name}" + ("" if value is None else f"={_escape(value)}") for name, value in directives.items()]
    shell = {"directives": _Shell("\n".join(lines)), "setup": [_Shell(line) for line in profile.setup]}
    variables = {_Shell(name): value for name, value in values.pop("variables").items()}
    return environment.get_template(template).render(requeues=profile.requeues, variables=variables, **shell, **values)


def _quote(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(_quote, value))
    return value if isinstance(value, _Shell) else shlex.quote(str(value))


def _option_a_line(command: Sequence[str]) -> _Shell:
    """Words of an array in a script."""
    return _Shell("".join(("\n  " if word.startswith("--") else " ") + shlex.quote(word) for word in command).strip())


def _escape(value: str) -> str:
    """A value in a line of options: quotes and backslashes are a shell's there, except that a backslash keeps no space; nothing expands."""
    return value if re.fullmatch(r"[\w./:=@%,+-]*", value) else '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'


def _file_name(path: Path) -> str:
    """A path where Slurm would take %j for a job's number."""
    return str(path).replace("%", "%%")


def _contained(command: Sequence[str], profile: SlurmProfile, workdir: Path) -> list[str]:
    """The command inside of the profile's container, where apptainer starts that."""
    if profile.image is None or profile.container == "pyxis":
        return list(command)
    binds = [f"--bind={mount}" for mount in (f"{workdir}:{workdir}", *profile.mounts)]
    return ["apptainer", "exec", *["--nv"] * bool(profile.gpus), *binds, f"--pwd={workdir}", profile.image, *command]


def _srun_options(profile: SlurmProfile, workdir: Path) -> list[str]:
    """The options with which pyxis starts a container."""
    if profile.image is None or profile.container == "apptainer":
        return []
    mounts = ",".join([f"{workdir}:{workdir}", *profile.mounts])
    return [f"--container-image={profile.image}", f"--container-mounts={mounts}", f"--container-workdir={workdir}"]
