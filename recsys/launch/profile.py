"""Where and how a job runs: a small file in configs/launch/."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator

from recsys.config_file import nearest, read_yaml, validated
from recsys.errors import InputError
from recsys.planning.devices import parse_bytes
from recsys.section import Section

FOLDER = Path("configs/launch")
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|(^|_)KEY$", re.IGNORECASE)


class Profile(Section):
    """What every engine's profile has; each engine adds its own keys."""

    engine: str = Field(description="What starts the job.")
    nodes: PositiveInt = Field(1, description="Machines, unless `--nodes` says otherwise.")
    nproc: PositiveInt = Field(1, description="Processes a machine, unless `--nproc` says otherwise; one a GPU.")
    max_restarts: NonNegativeInt = Field(3, description="Times that the processes are started again after one of them failed.")
    stop_seconds: PositiveInt = Field(
        30, description="What processes that are told to stop have to save a checkpoint, before they are killed."
    )
    device_memory: str | None = Field(
        None, description="Memory of each process's GPU, such as 80GB; a job that can't fit is then refused before it is submitted."
    )
    environment: dict[str, str] = Field({}, description="Environment variables of every process; no secrets.")

    @field_validator("device_memory")
    @classmethod
    def _memory_is_a_size(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_bytes(value, "device_memory")
            except InputError as error:
                raise ValueError(str(error).partition(": ")[2]) from None
        return value

    @field_validator("environment", mode="before")
    @classmethod
    def _values_are_text(cls, value: Any) -> Any:
        return {key: str(item) for key, item in value.items()} if isinstance(value, dict) else value

    @field_validator("environment")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if _SECRET.search(name):
                raise ValueError(f"a secret such as {name} has no place in a profile: set it where the job is launched or runs")
        return value

    def run_folder(self, job_folder: Path) -> Path:
        """Where the training run of the job with this folder lies, as its processes see it."""
        return job_folder / "run"


def read_profile(name: str, kinds: Mapping[str, type[Profile]]) -> Profile:
    """The profile configs/launch/NAME.yaml, or that of a path.

    kinds: engine -> class of its profiles. Raises InputError, one line an error, for a profile that isn't there (with the nearest), an
    unknown key (with the nearest), or a bad value.
    """
    path = _path(name)
    return parse_profile(read_yaml(path), str(path), kinds)


def parse_profile(document: Any, source: str, kinds: Mapping[str, type[Profile]]) -> Profile:
    """The profile of a document; `source` names it in errors (InputError)."""
    engine = document.get("engine") if isinstance(document, dict) else None
    if not isinstance(engine, str) or engine not in kinds:
        given = f", but is {engine!r}{nearest(engine, list(kinds))}" if isinstance(engine, str) else ""
        raise InputError(f"{source}: engine must be one of {', '.join(kinds)}{given}")
    return validated(kinds[engine], document, source)


def _path(name: str) -> Path:
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    known = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    if name not in known:
        told = nearest(name, known) if known else ""
        raise InputError(f"--on {name}: there is no {FOLDER}/{name}.yaml{told}; give a name from there or a path ending in .yaml")
    return FOLDER / f"{name}.yaml"
