"""Jobs on Slurm: one batch script, one torchrun agent a machine through srun."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from recsys.errors import InputError
from recsys.files import write_whole
from recsys.launch.engine import Status
from recsys.launch.job import Job
from recsys.launch.logs import agent_file, read_logs
from recsys.launch.profile import Profile
from recsys.launch.slurm_client import Refused, slurm
from recsys.launch.slurm_profile import SlurmProfile
from recsys.launch.slurm_script import check_path, job_script
from recsys.launch.slurm_status import LAUNCH_FAILURE, STOPPED, status_on_disk, statuses

_SCRIPT, _NOTES = "job.sh", "slurm.log"


class Slurm:
    """Submits a script with sbatch; all else is Slurm's. The job's folder must be one that every machine sees."""

    profile: type[Profile] = SlurmProfile
    sees_files = True

    def check(self, job: Job) -> None:
        """Folders that a script can name, and a GPU for each process."""
        check_path(job.workdir)
        gpus = _profile(job).gpus
        if gpus and job.nproc > gpus:
            raise InputError(f"--nproc {job.nproc}: the profile asks for {gpus} GPU(s) a machine, and each process needs one")

    def render(self, job: Job) -> str:
        """The batch script."""
        return job_script(job, _profile(job))

    def submit(self, job: Job) -> str:
        """Hand the script to sbatch; the id is Slurm's number of the job."""
        script = job.folder / _SCRIPT
        write_whole(script, self.render(job))
        return submit_script(script, job.name)

    def status(self, job: Job) -> Status:
        """From Slurm, or from the notes on disk once it has forgotten the job; why it failed from the ranks."""
        engine_id = job.engine_id or ""
        found = statuses([engine_id]).get(engine_id) or status_on_disk(job.folder / _NOTES)
        if job.cancelled and found.state in ("failed", "lost"):
            return replace(found, state="cancelled", detail="")
        if found.exit_code == STOPPED:
            return replace(found, detail=f"{found.detail}; `sbatch {job.folder / _SCRIPT}` goes on from its last checkpoint")
        if found.detail == LAUNCH_FAILURE:
            return replace(found, detail=f"Slurm could not start it ({LAUNCH_FAILURE}); every machine must see {job.folder}")
        if found.state == "failed" and not found.detail:
            return replace(found, detail=_told(job.folder) or f"no rank told why; see {agent_file(job)}")
        return found

    def logs(self, job: Job, rank: int | None, follow: bool) -> Iterator[str]:
        """From the ranks' files."""
        return read_logs(job, rank, follow, lambda: self.status(job).over)

    def cancel(self, job: Job) -> None:
        """scancel: the processes have the cluster's KillWait to save a checkpoint. Returns once they are gone, or should be."""
        with suppress(Refused):  # it is gone already
            slurm("scancel", job.engine_id or "")
        deadline = time.monotonic() + job.profile.stop_seconds
        while not self.status(job).over and time.monotonic() < deadline:
            time.sleep(1)


def submit_script(script: Path, name: str) -> str:
    """Slurm's number of the job. Raises InputError with Slurm's words where it refuses the script."""
    try:
        return slurm("sbatch", "--parsable", str(script)).strip().partition(";")[0]
    except Refused as refusal:
        raise InputError(f"Slurm refuses {name}: {refusal}; change the profile (sinfo shows what the cluster has)") from None


def _profile(job: Job) -> SlurmProfile:
    assert isinstance(job.profile, SlurmProfile)
    return job.profile


def _told(folder: Path) -> str:
    """What the rank that failed first, of all machines, left for its agent, which copied it here."""
    reports = [json.loads(path.read_text())["message"] for path in folder.glob("error-*.json")]
    told = [(report["time"], report["message"]) for report in reports if isinstance(report, dict) and "time" in report]
    return min(told)[1].strip().splitlines()[-1] if told else ""
