"""`recsys train`: train, evaluate and record one job, in one process or many.

`torchrun --nproc-per-node N -m pipelines.train CONFIG` runs the same job under an agent started by hand.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.errors import InputError
from recsys.quiet import quieten

if TYPE_CHECKING:
    from recsys.config import Config


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the job, such as configs/demo.yaml.")],
    nproc: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override, such as train.epochs=1.")] = [],  # noqa: B006
    output: Annotated[Path | None, typer.Option(help="Folder of the run; run.output of the configuration when left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the latest checkpoint of the output folder.")] = False,
    or_start: Annotated[
        bool, typer.Option("--resume-or-start", help="Go on where there is a checkpoint, else start: for jobs that are started again.")
    ] = False,
    warm_start: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Start from another run's best checkpoint: its folder, runs:/ID or models:/NAME@ALIAS."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the output folder.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the result for machines.")] = None,
) -> None:
    """Train the tasks of CONFIG on its logs, evaluate the best checkpoint on the test split, record it all in MLflow."""
    from recsys.config_file import load_config
    from recsys.training.launcher import launch, under_agent
    from recsys.training.stop import Stop

    settings = [*overrides, *([f"run.output={output}"] if output else [])]
    resolved = load_config(config, settings)
    if resume + or_start + overwrite > 1:
        raise InputError("--resume goes on with a run, --resume-or-start does if there is one, --overwrite replaces it: give one of them")
    if not under_agent():
        look_at_the_logs(resolved)
    if nproc > 1 and not under_agent():
        flags = [f"--set={setting}" for setting in settings] + ["--resume"] * resume + ["--overwrite"] * overwrite
        flags += ["--resume-or-start"] * or_start
        flags += [f"--warm-start={warm_start}"] if warm_start else []
        launch("pipelines.train", [str(config), *flags, *([f"--json={json_file}"] if json_file else [])], nproc)
        return
    quieten()
    stop = Stop()
    stop.listen()
    from recsys.training.job import run_job

    run_job(resolved, resume=resume, overwrite=overwrite, json_file=json_file, or_start=or_start, warm_start=warm_start, stop=stop)


def look_at_the_logs(config: Config) -> None:
    """Refuse logs of which footers and partitions already tell that they don't fit; warn of what a person should look at."""
    from recsys.data.validation.quick import check_quickly

    found = check_quickly(config).found
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if found.errors:
        raise InputError("\n".join(found.errors))


def worker() -> None:
    """One rank under torchrun's agent: a failure is left for the agent to tell, with the exit code of its kind."""
    from recsys.training.launcher import exit_code, open_log, report_failure
    from recsys.training.stop import SIGNALS

    open_log()
    try:
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(train)
        app()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # torch's CheckpointException is no Exception
        # The agent ends the ranks that outlive a failed one, also while they are telling of their own failure.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        report_failure(error)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    worker()
