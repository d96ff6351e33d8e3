"""The `recsys` command."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from pipelines.bench import app as bench_app
from pipelines.compare import compare
from pipelines.config import app as config_app
from pipelines.evaluate import evaluate
from pipelines.generate import generate
from pipelines.jobs import cancel, jobs, logs, status, wait
from pipelines.launch import launch
from pipelines.plan import plan
from pipelines.prepare import app as prepare_app
from pipelines.promote import promote
from pipelines.report import report
from pipelines.train import train
from pipelines.validate import validate
from recsys.errors import InputError, JobError, Stopped

app = typer.Typer(
    name="recsys",
    help="Train multi-task recommenders on parquet logs: sharded tables, equitable multi-task optimization, MLflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(generate)
app.add_typer(prepare_app, name="prepare")
app.command()(validate)
app.command()(plan)
app.command()(train)
for command in (launch, jobs, status, logs, wait, cancel):
    app.command()(command)
app.command()(evaluate)
app.command()(compare)
app.command()(report)
app.command()(promote)
app.add_typer(bench_app, name="bench")
app.add_typer(config_app, name="config")


def run(command: Callable[[], None]) -> None:
    """Run a command; bad input ends in its message and exit code 2, a job that had to stop in its message and 1."""
    try:
        command()
    except InputError as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        sys.exit(2)
    except JobError as error:
        print(f"failed: {error}", file=sys.stderr)
        sys.exit(1)
    except Stopped as error:
        print(f"stopped: {error}", file=sys.stderr)
        sys.exit(75)


def main() -> None:
    """Entry point of the console script."""
    run(app)
