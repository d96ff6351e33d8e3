"""Jobs on this machine: torchrun's elastic agent, in a session of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from recsys.cores import number_of_cores
from recsys.errors import InputError
from recsys.files import write_whole
from recsys.launch.agent import ENGINE_ID, KEY, agent_options, environment, shell_command, worker_command
from recsys.launch.engine import Status
from recsys.launch.job import Job
from recsys.launch.logs import agent_file, read_logs
from recsys.launch.processes import end_processes, processes_with
from recsys.launch.profile import Profile
from recsys.training.launcher import LOGS

_SCRIPT, _EXIT = "job.sh", "exit"
_AGENT = ("-m", "recsys.launch.torchrun")

_TEMPLATE = """\
#!/bin/sh
cd {workdir} || exit
{exports}
# The shell outlives the agent, to keep its exit code.
trap : HUP INT TERM USR1
{agent}
echo $? > {exit}.writing
mv {exit}.writing {exit}
"""


class LocalProfile(Profile):
    """This machine."""

    engine: Literal["local"]


class Local:
    """Starts torchrun's agent in a session of its own and leaves it alone.

    A shell keeps the agent's exit code on disk. Without one, a job whose shell is gone is lost: it was killed too, or the machine went
    down.
    """

    profile: type[Profile] = LocalProfile
    sees_files = True

    def check(self, job: Job) -> None:
        """One machine alone."""
        if job.nodes > 1:
            raise InputError(
                f"--nodes {job.nodes}: engine local starts processes on this machine alone; give a profile of a cluster, "
                "or start torchrun on each machine by hand (docs/launch.md)"
            )

    def render(self, job: Job) -> str:
        """The shell script that is run."""
        # Port 0: the system gives the agent's store a free one. With the job's own rendezvous id no two jobs meet.
        rendezvous = ["--rdzv-endpoint=localhost:0", f"--rdzv-id={job.key}", "--local-addr=localhost", f"--log-dir={job.logs / 'attempts'}"]
        command = [sys.executable, *_AGENT, *agent_options(job), *rendezvous, *worker_command(job, job.config_file, job.output)]
        variables = environment(job) | {LOGS: str(job.logs)}
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        return _TEMPLATE.format(
            workdir=shlex.quote(str(job.workdir)),
            exports="\n".join([*exports, f"export {ENGINE_ID}=$$"]),
            agent=shell_command(command),
            exit=shlex.quote(str(job.folder / _EXIT)),
        )

    def submit(self, job: Job) -> str:
        """Start the script, detached; the id is that of its process."""
        script = job.folder / _SCRIPT
        write_whole(script, self.render(job))
        threads = str(max(1, number_of_cores() // job.nproc))
        variables = {"OMP_NUM_THREADS": threads, **os.environ, KEY: job.key}
        with agent_file(job).open("ab") as log:
            shell = subprocess.Popen(
                ["/bin/sh", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=variables
            )
        return str(shell.pid)

    def status(self, job: Job) -> Status:
        """From the exit code on disk, and from which of the job's processes are alive."""
        alive = processes_with(KEY, job.key)
        if (job.folder / _EXIT).exists():  # looked for after the processes, because it comes before they go
            return _ended(job)
        if job.engine_id and int(job.engine_id) in alive:
            return Status("running", started=job.created)
        left = f"; {len(alive)} of its processes are still there, which `recsys cancel {job.name}` ends" if alive else ""
        if job.cancelled and not alive:
            return Status("cancelled", started=job.created, ended=job.cancelled)
        return Status("lost", f"it was killed together with its agent, or this machine went down{left}", started=job.created)

    def logs(self, job: Job, rank: int | None, follow: bool) -> Iterator[str]:
        """From the ranks' files."""
        return read_logs(job, rank, follow, lambda: self.status(job).over)

    def cancel(self, job: Job) -> None:
        """Ends every process of the job, and waits until they are gone."""
        end_processes(KEY, job.key, job.profile.stop_seconds + 10)


def _ended(job: Job) -> Status:
    path = job.folder / _EXIT
    code, ended = int(path.read_text()), datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if code == 0:
        return Status("finished", started=job.created, ended=ended, exit_code=0)
    if job.cancelled:
        return Status("cancelled", started=job.created, ended=ended, exit_code=code)
    detail = _last_line(agent_file(job)) or f"nothing tells why; see {job.logs}"
    return Status("failed", detail, started=job.created, ended=ended, exit_code=code)


def _last_line(path: Path) -> str:
    """What the agent said at its end, without the word that the state says already."""
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("failed: ").removeprefix("error: ") if lines else ""
