"""`recsys jobs`, `status`, `logs`, `wait`, `cancel`: what became of launched jobs."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.errors import InputError, JobError

if TYPE_CHECKING:
    from recsys.launch.engine import Engine, Status
    from recsys.launch.job import Job

_LOOKS_EVERY = 1.0  # seconds between looks at a job that is waited for

Name = Annotated[str, typer.Argument(metavar="JOB", help="Name of a launched job.")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write it for machines.")]


def jobs(json_file: JsonFile = None) -> None:
    """List the jobs that were launched from this folder."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from recsys.launch.job import job_names

    found = sorted((_load(name) for name in job_names()), key=lambda pair: pair[0].created)
    facts = [_facts(job, _status_or_why_not(job, engine)) for job, engine in found]
    table = Table(box=SIMPLE_HEAD)
    for column in ("job", "state", "engine", "id", "ranks", "launched", "saved"):
        table.add_column(column, justify="right" if column in ("ranks", "saved") else "left", no_wrap=column != "job")
    for fact in facts:
        checkpoint = "" if fact["checkpoint"] is None else f"step {fact['checkpoint']:,}"
        table.add_row(
            fact["name"], fact["state"], fact["engine"], fact["id"], str(fact["processes"]), _minute(fact["launched"]), checkpoint
        )
    Console().print(table if facts else "no jobs in jobs/: recsys launch CONFIG --on PROFILE starts one")
    _write(json_file, facts)


def status(name: Name, json_file: JsonFile = None) -> None:
    """Show how a job stands, and where its run is."""
    job, engine = _load(name)
    facts = _facts(job, engine.status(job))
    for key, value in facts.items():
        if value not in (None, ""):
            typer.echo(f"{key + ':':<12} {value}")
    _write(json_file, facts)


def logs(
    name: Name,
    rank: Annotated[int | None, typer.Option(min=0, help="Rank whose lines to show; the one that reports when left out.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Show what comes, until the job's end.")] = False,
) -> None:
    """Show what a job has printed, over all its attempts."""
    job, engine = _load(name)
    for line in engine.logs(job, rank, follow):
        typer.echo(line, nl=False)


def wait(
    names: Annotated[list[str], typer.Argument(metavar="JOB...", help="Names of launched jobs.")],
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up after so long; the jobs go on.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Wait until jobs have ended; the exit code is 0 if all of them finished, else 1."""
    found = [_load(name) for name in names]
    deadline = None if timeout is None else time.monotonic() + timeout
    ended = [(job, _wait_for(job, engine, deadline)) for job, engine in found]
    for job, found_status in ended:
        typer.echo(f"{job.name}: {found_status.state}" + (f": {found_status.detail}" if found_status.detail else ""))
    _write(json_file, [_facts(job, found_status) for job, found_status in ended])
    if any(found_status.state != "finished" for _, found_status in ended):
        raise typer.Exit(1)


def cancel(name: Name, json_file: JsonFile = None) -> None:
    """End a job; its processes may save a checkpoint first."""
    from recsys.launch.job import now

    job, engine = _load(name)
    before = engine.status(job)
    if before.over and before.state != "lost":
        raise InputError(f"{name}: there is nothing to cancel, it is {before.state} already")
    job = job.model_copy(update={"cancelled": now()})
    job.save()
    engine.cancel(job)
    facts = _facts(job, engine.status(job))
    checkpoint = "it has no checkpoint" if facts["checkpoint"] is None else f"its last checkpoint is of step {facts['checkpoint']:,}"
    typer.echo(f"{name}: {facts['state']}; {checkpoint}")
    _write(json_file, facts)


def _load(name: str) -> tuple[Job, Engine]:
    from recsys.launch import ENGINES, PROFILES
    from recsys.launch.job import load_job

    job = load_job(name, PROFILES)
    return job, ENGINES[job.profile.engine]


def _wait_for(job: Job, engine: Engine, deadline: float | None) -> Status:
    while not (found := engine.status(job)).over:
        if deadline is not None and time.monotonic() > deadline:
            raise JobError(f"{job.name}: is still {found.state} after --timeout")
        time.sleep(_LOOKS_EVERY)
    return found


def _status_or_why_not(job: Job, engine: Engine) -> Status:
    """An engine that doesn't answer is no reason not to list the jobs of the others."""
    from recsys.launch.engine import Status

    try:
        return engine.status(job)
    except (InputError, JobError) as error:
        return Status("lost", str(error))


def _facts(job: Job, found: Status) -> dict[str, Any]:
    """What people and machines are told of a job."""
    from recsys.launch.run import run_of

    run = run_of(job)
    return {
        "name": job.name,
        "state": found.state,
        "detail": found.detail,
        "engine": job.profile.engine,
        "id": job.engine_id,
        "processes": job.nodes * job.nproc,
        "launched": job.created.isoformat(timespec="seconds"),
        "ended": None if found.ended is None else found.ended.isoformat(timespec="seconds"),
        "exit_code": found.exit_code,
        "checkpoint": run.checkpoint,
        "mlflow_run": run.run_id,
        "output": str(job.output),
    }


def _minute(text: str) -> str:
    """A time of this machine's zone, to the minute."""
    return f"{datetime.fromisoformat(text).astimezone():%m-%d %H:%M}"


def _write(json_file: Path | None, content: Any) -> None:
    if json_file is not None:
        json_file.write_text(json.dumps(content, indent=1) + "\n")
