"""`recsys launch`: start a training job on an engine."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.errors import InputError
from recsys.quiet import quieten

if TYPE_CHECKING:
    from recsys.config import Config
    from recsys.launch.engine import Engine
    from recsys.launch.job import Job


def launch(
    config: Annotated[Path, typer.Argument(help="YAML file of the job, such as configs/demo.yaml.")],
    on: Annotated[str, typer.Option(metavar="PROFILE", help="Where and how: a name in configs/launch/, or a path.")],
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines; the profile's when left out.")] = None,
    nproc: Annotated[int | None, typer.Option(min=1, help="Processes a machine; the profile's when left out.")] = None,
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override, such as train.epochs=1.")] = [],  # noqa: B006
    name: Annotated[str | None, typer.Option(help="Name of the job and its MLflow run; made from run.name when left out.")] = None,
    warm_start: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Start from another run's best checkpoint: its folder, runs:/ID or models:/NAME@ALIAS."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print exactly what would be submitted, and leave nothing behind.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the job for machines.")] = None,
) -> None:
    """Start the training of CONFIG on an engine and return; `recsys status`, `logs`, `wait` and `cancel` look after it by its name."""
    from recsys.config_file import load_config
    from recsys.launch import ENGINES, PROFILES
    from recsys.launch.job import Job, check_name, free_name, now
    from recsys.launch.profile import read_profile

    if any(override.partition("=")[0].strip() in ("run.name", "run.output") for override in overrides):
        raise InputError("--set run.name, --set run.output: a launched job is called by --name, and its run lies in jobs/NAME/run")
    wanted = load_config(config, overrides)
    profile = read_profile(on, PROFILES)
    job = Job(
        name=check_name(name) if name else free_name(wanted.run.name),
        key=uuid.uuid4().hex,
        config=str(config.absolute()),
        overrides=overrides,
        warm_start=warm_start,
        profile=profile,
        nodes=nodes or profile.nodes,
        nproc=nproc or profile.nproc,
        workdir=Path.cwd(),
        created=now(),
    )
    engine, resolved = ENGINES[profile.engine], job.resolve()
    engine.check(job)
    if dry_run:
        typer.echo(engine.render(job), nl=False)
    else:
        job = _submit(job, engine, resolved)
        _say(job)
    if json_file is not None:
        json_file.write_text(json.dumps(job.model_dump(mode="json") | {"folder": str(job.folder)}, indent=1) + "\n")


def _submit(job: Job, engine: Engine, resolved: Config) -> Job:
    from pipelines.train import look_at_the_logs
    from recsys.evaluation.names import check_metric
    from recsys.training.weighing import check_strategy

    check_metric(resolved.evaluate.metric, resolved.tasks)
    check_strategy(resolved)
    if engine.sees_files:
        look_at_the_logs(resolved)
    if job.profile.device_memory is not None:
        _check_memory(job, resolved, job.profile.device_memory)
    with job.created_folder(resolved):
        submitted = job.model_copy(update={"engine_id": engine.submit(job)})
    submitted.save()
    return submitted


def _check_memory(job: Job, resolved: Config, memory: str) -> None:
    """Refuse a job whose tables, network and batch can't lie in the memory of its GPUs, and say what to change."""
    quieten()
    from recsys.planning.advice import check_fits
    from recsys.planning.devices import Devices, parse_bytes

    check_fits(resolved, Devices(job.nodes * job.nproc, job.nproc, "cuda", parse_bytes(memory, "device_memory")))


def _say(job: Job) -> None:
    machines = f"{job.nodes} machines x " if job.nodes > 1 else ""
    typer.echo(f"{job.name}: submitted to {job.profile.engine} as {job.engine_id}, {machines}{job.nproc} process(es)")
    typer.echo(f"recsys logs {job.name} -f shows what it prints, recsys status {job.name} how it stands; all of it is in {job.folder}")
