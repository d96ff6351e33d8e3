"""The profile of the Slurm engine."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from recsys.launch.profile import Profile

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=1000)]
Mount = Annotated[str, Field(pattern=r"^/[^\x00-\x1f\x7f,:]*:/[^\x00-\x1f\x7f,:]*(:r[ow])?$")]
OptionName = Annotated[str, Field(pattern=r"^[a-z][a-z-]*[a-z]$")]
# What the script rests on, or what other keys of a profile say.
OURS = frozenset(
    {
        "account",
        "array",
        "chdir",
        "constraint",
        "cpus-per-task",
        "error",
        "gpus-per-node",
        "job-name",
        "mem",
        "no-requeue",
        "nodes",
        "ntasks",
    }
    | {"ntasks-per-node", "open-mode", "output", "partition", "qos", "requeue", "signal", "time", "wrap"}
)

SECONDS_TO_REQUEUE = 30  # between the processes' end and the time limit
SLURMS_MINUTE = 60  # by which a signal before the limit may come too early


class SlurmProfile(Profile):
    """A partition of a Slurm cluster, and what a job gets there on each of `nodes` machines."""

    engine: Literal["slurm"]
    partition: Line | None = Field(None, description="Partition, or several with commas; the cluster's default when left out.")
    account: Line | None = Field(None, description="Account that pays.")
    qos: Line | None = Field(None, description="Quality of service.")
    constraint: Line | None = Field(None, description="Features that a machine must have.")
    gpus: NonNegativeInt = Field(0, description="GPUs a machine.")
    gpu_type: Line | None = Field(None, description="What the cluster calls such a GPU, such as h100; any when left out.")
    cpus: PositiveInt | None = Field(None, description="CPUs a machine; one a process when left out.")
    memory: str | None = Field(None, description="Memory a machine, such as 200G; the cluster's default when left out.")
    time_limit: str | None = Field(
        None, description="[DAYS-]HOURS:MINUTES:SECONDS, the partition's when left out; before it is over the job is requeued."
    )
    requeues: NonNegativeInt = Field(
        20, description="Times that the job may go on after its time limit, a preemption or the loss of a machine; 0 forbids it."
    )
    options: dict[OptionName, Line | None] = Field({}, description="Other options of sbatch, such as `reservation: night`, `exclusive:`.")
    setup: list[Annotated[str, Field(pattern=r"^[^\x00]*$")]] = Field(
        [], description="Lines of shell that come first, such as `module load cuda` or `source venv/bin/activate`."
    )
    python: Line | None = Field(
        None, description="Python of the machines; that of `recsys launch` when left out, or `python` with an image."
    )
    image: Line | None = Field(None, description="Container image that the processes run in.")
    container: Literal["apptainer", "pyxis"] = Field("apptainer", description="What runs the image: apptainer, or srun with pyxis.")
    mounts: list[Mount] = Field([], description="HOST:CONTAINER[:ro] folders that the container sees beside the working folder.")

    @field_validator("memory")
    @classmethod
    def _is_memory(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[1-9][0-9]*[MGT]", value):
            raise ValueError("must be a number and M, G or T, such as 200G")
        return value

    @field_validator("time_limit", mode="before")
    @classmethod
    def _is_a_time(cls, value: Any) -> Any:
        if value is not None and not (isinstance(value, str) and re.fullmatch(r"([0-9]+-)?[0-9]+:[0-5][0-9]:[0-5][0-9]", value)):
            raise ValueError('must be like "24:00:00" or "7-00:00:00", in quotes because YAML takes it for a number otherwise')
        return value

    @field_validator("options")
    @classmethod
    def _options_are_free(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        if taken := sorted(OURS & set(value)):
            raise ValueError(f"{taken[0]} is set by the engine or by a key of its own")
        return value

    @field_validator("environment")
    @classmethod
    def _a_shell_can_set_them(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or "\0" in text:
                raise ValueError(f"{name!r} is no variable that a shell can set: letters, digits, underscores; no zero byte in its value")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.mounts and self.image is None:
            raise ValueError("mounts need an image")
        warned = self.stop_seconds + SECONDS_TO_REQUEUE + SLURMS_MINUTE
        if self.time_limit and _seconds(self.time_limit) <= warned:
            raise ValueError(
                f"time_limit must be longer than stop_seconds + {warned - self.stop_seconds}, when Slurm may warn of its end already"
            )
        if self.gpu_type and not self.gpus:
            raise ValueError("gpu_type needs gpus, the number of them a machine")
        return self


def _seconds(time_limit: str) -> int:
    days, _, clock = time_limit.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return int(days or 0) * 86400 + hours * 3600 + minutes * 60 + seconds
