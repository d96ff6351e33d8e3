"""Many commands as one array of Slurm's, of which a limited number runs at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recsys.errors import InputError
from recsys.files import write_whole
from recsys.launch.engine import Status
from recsys.launch.slurm import submit_script
from recsys.launch.slurm_client import slurm
from recsys.launch.slurm_profile import SlurmProfile
from recsys.launch.slurm_script import array_script, check_path
from recsys.launch.slurm_status import status_on_disk, statuses

_SCRIPT = "array.sh"


def submit_array(name: str, profile: SlurmProfile, commands: Sequence[Sequence[str]], limit: int, folder: Path) -> str:
    """Submit `commands` (lists of words) as elements 0, 1, ... of one array, and give Slurm's number of it.

    limit: how many run at once, each on one machine with the profile's share of it. folder: keeps the script, what each element prints
    (`logs/0.log`, ...) and how it ended; seen by every machine. An element that is stopped (time limit, preemption) or whose machine is
    lost runs again, so a command must go on where it was. Raises InputError where Slurm refuses it.
    """
    if not commands:
        raise InputError(f"{name}: there is no command to submit")
    folder = folder.absolute()
    check_path(folder)
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    for notes in folder.glob("slurm-*"):
        notes.unlink()  # of an earlier array here
    write_whole(folder / _SCRIPT, array_script(name, profile, commands, limit, folder, Path.cwd()))
    return submit_script(folder / _SCRIPT, name)


def array_statuses(engine_id: str, elements: int, folder: Path) -> list[Status]:
    """How each element of an array stands. Raises JobError where Slurm doesn't answer."""
    names = [f"{engine_id}_{number}" for number in range(elements)]
    known = statuses(names)
    return [known.get(name) or status_on_disk(folder / f"slurm-{number}.log") for number, name in enumerate(names)]


def cancel_array(engine_id: str) -> None:
    """End all elements that haven't ended."""
    slurm("scancel", engine_id)
