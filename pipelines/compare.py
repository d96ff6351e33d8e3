"""`recsys compare`: strategies over settings, architectures and seeds, as children of one study."""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.train import look_at_the_logs
from recsys.errors import InputError, JobError, Stopped
from recsys.quiet import quieten

if TYPE_CHECKING:
    from rich.console import Console

    from recsys.config import Config
    from recsys.study.executor import Executor
    from recsys.study.progress import Display
    from recsys.study.study import Answer, Study
    from recsys.study.tracking import StudyTracking


def compare(
    config: Annotated[Path, typer.Argument(help="YAML file of the job whose strategies are compared.")],
    strategies: Annotated[
        str, typer.Option(metavar="A,B|all", help="Strategies, `single`, `tuned`; with options: emtl:regularizer=chi2:rho=0.1.")
    ],
    seeds: Annotated[str, typer.Option(metavar="N,N", help="Seeds of what is reported.")] = "0,1,2",
    architectures: Annotated[str, typer.Option(metavar="A,B", help="mmoe, ple, shared_bottom; the configuration's when left out.")] = "",
    grid: Annotated[
        list[str], typer.Option(metavar="KEY=V,V", help="Settings among which each strategy's is chosen on valid. Repeatable.")
    ] = [],  # noqa: B006
    search_seeds: Annotated[str, typer.Option(metavar="N,N", help="Seeds by which settings are chosen.")] = "1000",
    trials: Annotated[int | None, typer.Option(min=1, help="Of `tuned`; as many as the largest grid has settings, 10 without one.")] = None,
    halving: Annotated[str, typer.Option(metavar="SHARE,FACTOR", help="Successive halving: first on this share of the rows.")] = "",
    weights_between: Annotated[str, typer.Option(metavar="LOW,HIGH", help="Of `tuned`, relative to the first task.")] = "0.01,100",
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time, each with its share of cores or GPUs.")] = 1,
    nproc: Annotated[int, typer.Option(min=1, help="Processes of each training.")] = 1,
    on: Annotated[
        str | None, typer.Option(metavar="PROFILE", help="Train on Slurm: a profile in configs/launch/, or a path. Here when left out.")
    ] = None,
    overrides: Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Dotted override for every training.")] = [],  # noqa: B006
    output: Annotated[Path | None, typer.Option(help="Folder of the study; studies/NAME of the configuration when left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the study in the folder: nothing that is done runs again.")] = False,
    checkpoints: Annotated[str, typer.Option(metavar="best|none", help="What is kept of each training's.")] = "best",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the results for machines.")] = None,
) -> None:
    """Train every strategy with every seed, choose settings on valid, report on test, and say what differs beyond doubt."""
    quieten()
    from rich.console import Console

    from recsys.config_file import load_config
    from recsys.study.progress import Display
    from recsys.study.study import Question, Study

    given = load_config(config, overrides)
    folder = output or Path("studies") / given.run.name
    look_at_the_logs(given)
    question = Question(
        config=for_children(given, folder),
        folder=folder,
        command=shlex.join(["recsys", *sys.argv[1:]]),
        strategies=strategies,
        seeds=_numbers("--seeds", seeds),
        architectures=_words(architectures),
        grid=grid,
        search_seeds=_numbers("--search-seeds", search_seeds),
        trials=trials,
        weights=_between(weights_between),
        halving=_halving(halving),
        slots=jobs,
        nproc=nproc,
        keep_checkpoints=_keeps(checkpoints),
    )
    study, console = Study(question), Console()
    # A container engine or a scheduler ends a comparison this way; its children still have to be stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    answer = _run(study, given, console, Display(console, jobs), resume, partial(_elsewhere, study, on))
    if json_file is not None and answer.outcomes:
        from recsys.study.results import JSON

        shutil.copyfile(folder / JSON, json_file)
    if answer.record.failed:
        for failed in answer.record.failed:
            print(f"failed: {failed.child}: {failed.line} (log: {failed.log})", file=sys.stderr)
        raise JobError(f"{len(answer.record.failed)} trainings ended without a result; the same command with --resume tries them again")


def for_children(config: Config, folder: Path) -> Config:
    """What every training of a study has: no figures, no MLflow run (the comparison makes it), statistics measured once."""
    from recsys.study.folder import StudyFolder

    changes = {
        "run": config.run.model_copy(update={"figures": False}),
        "data": config.data.model_copy(update={"statistics": config.data.statistics or str(StudyFolder(folder).statistics)}),
        "tracking": config.tracking.model_copy(update={"enabled": False}),
    }
    return config.model_copy(update=changes)


def _elsewhere(study: Study, on: str | None) -> Executor | None:
    """The place that profile `on` names."""
    if on is None:
        return None
    from recsys.launch import PROFILES
    from recsys.launch.profile import read_profile
    from recsys.launch.slurm_profile import SlurmProfile
    from recsys.study.slurm import SlurmArrays

    profile, question = read_profile(on, PROFILES), study.question
    if not isinstance(profile, SlurmProfile):
        raise InputError(f"--on {on}: trainings of a comparison run here or on Slurm, but its engine is {profile.engine}")
    profile = profile.model_copy(update={"nproc": question.nproc})
    return SlurmArrays(f"compare-{study.folder.path.name}", profile, study.folder.path / "slurm", question.slots)


def _run(
    study: Study, given: Config, console: Console, progress: Display, resume: bool, elsewhere: Callable[[], Executor | None]
) -> Answer:
    """Hold the folder, run, report, and record in MLflow."""
    from recsys.study.lock import locked

    study.folder.path.mkdir(parents=True, exist_ok=True)
    with locked(study.folder.path) as held:
        executor = elsewhere()
        study.prepare(resume=resume)
        tracking = _tracking(study, given)
        try:
            with progress:
                answer = study.run(progress, held, tracking.child if tracking else lambda outcome: None, executor)
        except BaseException as error:
            if tracking:
                tracking.finish([], {}, [], "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            if isinstance(error, KeyboardInterrupt):
                raise Stopped("the same command with --resume goes on where it was") from None
            raise
        if answer.outcomes:
            _report(study, answer, given, console, tracking)
        return answer


def _report(study: Study, answer: Answer, given: Config, console: Console, tracking: StudyTracking | None) -> None:
    """Say what was found, in the terminal, in the study's folder and in MLflow."""
    from recsys.study.report import about, report
    from recsys.study.results import metrics_of
    from recsys.study.show import show

    if tracking:
        for outcome in answer.outcomes:
            tracking.child(outcome)
    done = [outcome.again() for outcome in answer.outcomes]  # with the ids of their MLflow runs
    of = about(answer.record, [outcome.child.name for outcome in done])
    findings, files = report(done, given.tasks, of, study.folder.path)
    show(console, findings)
    console.print(f"\nresults.json, .csv and .md, page.html and figures/ are in {study.folder.path}", highlight=False)
    if tracking:
        own = study.folder
        placed = [(path, None if path.parent == own.path else path.parent.name) for path in [*files, own.study, own.config]]
        console.print(tracking.finish(done, metrics_of(findings), placed, "FINISHED"), highlight=False, soft_wrap=True)


def _tracking(study: Study, given: Config) -> StudyTracking | None:
    from recsys.study.tracking import StudyTracking

    if not given.tracking.enabled:
        return None
    record = study.record
    params = {
        "strategies": study.question.strategies,
        "architectures": ", ".join(dict.fromkeys(line.architecture for line in record.lines)),
        "seeds": ", ".join(map(str, record.seeds)),
        "search_seeds": ", ".join(map(str, record.search_seeds)),
        "metric": record.metric,
        "command": record.command,
    }
    return StudyTracking(given.tracking.uri, given.tracking.experiment, study.folder.path, record.name, {}, params)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(option: str, text: str) -> list[int]:
    words = _words(text)
    if not words or not all(word.isdigit() for word in words) or len(set(words)) < len(words):
        raise InputError(f"{option} {text}: must be different whole numbers, such as 0,1,2")
    return [int(word) for word in words]


def _between(text: str) -> tuple[float, float]:
    try:
        low, high = (float(word) for word in _words(text))
    except ValueError:
        low = high = 0.0
    if not 0 < low < high:
        raise InputError(f"--weights-between {text}: must be two positive numbers, the lower first, such as 0.01,100")
    return low, high


def _halving(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        share, factor = (float(word) for word in _words(text))
    except ValueError:
        share = factor = 0.0
    if not (0 < share < 1 < factor):
        raise InputError(f"--halving {text}: must be a share below 1 and a factor above 1, such as 0.11,3")
    return share, factor


def _keeps(text: str) -> bool:
    if text not in ("best", "none"):
        raise InputError(f"--checkpoints {text}: must be best or none")
    return text == "best"
