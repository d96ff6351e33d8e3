"""A launched job: one name for its folder, its engine's job and its MLflow run."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, SerializeAsAny, ValidationError

from recsys.config import Config
from recsys.config_file import FILE_NAME, describe, dump_config, load_config, nearest
from recsys.errors import InputError
from recsys.files import write_whole
from recsys.launch.profile import Profile, parse_profile
from recsys.section import Section

FOLDER = Path("jobs")
RECORD = "job.json"
LONGEST_NAME = 48  # Kubernetes adds to it and takes 63
_NAME = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?")


class Job(Section):
    """One launched job, as `job.json` in its folder keeps it.

    key: tells it from every other job, also of the same name. config, overrides: what it was launched with; the resolved configuration lies
    in its folder. warm_start: the run that it starts from.
    profile: where and how it runs, as it was at the launch. nodes x nproc processes. workdir: folder that relative paths
    start from. engine_id: what the engine calls it, once submitted.
    """

    name: Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]
    key: str
    config: str
    overrides: list[str]
    warm_start: str | None = None
    profile: SerializeAsAny[Profile]
    nodes: PositiveInt
    nproc: PositiveInt
    workdir: Path
    created: datetime
    engine_id: str | None = None
    cancelled: datetime | None = None

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return self.workdir / FOLDER / self.name

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.folder / FILE_NAME

    @property
    def output(self) -> Path:
        """The folder of the training run."""
        return self.profile.run_folder(self.folder)

    @property
    def logs(self) -> Path:
        """Folder with a file a rank."""
        return self.folder / "logs"

    def log_file(self, rank: int) -> Path:
        """What a rank prints, over all attempts."""
        return self.logs / f"rank-{rank}.log"

    def save(self) -> None:
        """Write `job.json`."""
        write_whole(self.folder / RECORD, self.model_dump_json(indent=1) + "\n")

    def resolve(self) -> Config:
        """The configuration of the run: that of the launch, under the job's name and in its folder."""
        named = [*self.overrides, f"run.name={self.name}", f"run.output={self.output}"]
        return load_config(Path(self.config), named, self.profile.environment.get("MLFLOW_TRACKING_URI"))

    @contextmanager
    def created_folder(self, config: Config) -> Iterator[None]:
        """Make the job's folder for the submission within; it goes again when that fails. Raises InputError where the name is taken."""
        try:
            self.folder.mkdir(parents=True)
        except FileExistsError:
            raise InputError(f"--name {self.name}: there is a job of that name in {self.folder}; give another name") from None
        try:
            self.logs.mkdir()
            write_whole(self.config_file, dump_config(config))
            self.save()
            yield
        except BaseException:
            shutil.rmtree(self.folder)
            raise


def load_job(name: str, kinds: Mapping[str, type[Profile]]) -> Job:
    """The job of that name. Raises InputError, with the nearest name, where there is none."""
    known = job_names()
    if name not in known:
        there = nearest(name, known) if known else f"; {FOLDER}/ holds none, and commands look for it where they are run"
        raise InputError(f"{name}: there is no job of that name{there}")
    path = FOLDER.absolute() / name / RECORD
    fields = json.loads(path.read_text())
    fields["profile"] = parse_profile(fields["profile"], str(path), kinds)
    try:
        return Job.model_validate(fields | {"workdir": Path.cwd()})
    except ValidationError as error:
        told = "; ".join(describe(dict(item), fields, Job) for item in error.errors())
        raise InputError(f"{path}: {told}; was it written by another version?") from None


def job_names() -> list[str]:
    """The jobs in folder jobs/."""
    return sorted(path.parent.name for path in FOLDER.glob(f"*/{RECORD}"))


def free_name(wanted: str) -> str:
    """`wanted` in the letters of a job's name, with a number behind it where that name is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[: LONGEST_NAME - 5].rstrip("-") or "job"
    names = [base, *(f"{base}-{number}" for number in range(2, 10_000))]
    return next(name for name in names if not (FOLDER / name).exists())


def check_name(name: str) -> str:
    """`name`, if it may be a job's. Raises InputError."""
    if not _NAME.fullmatch(name):
        raise InputError(f"--name {name}: must be lower-case letters, digits and dashes within, at most {LONGEST_NAME}, such as demo-2")
    return name


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)
