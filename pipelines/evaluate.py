"""`recsys evaluate`: candidates compared on the same rows, with a verdict."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.errors import InputError
from recsys.quiet import quieten

if TYPE_CHECKING:
    from rich.console import Console

    from recsys.evaluation.comparison import Comparison
    from recsys.offline.policies import Exposure
    from recsys.offline.request import Request


def evaluate(
    candidates: Annotated[
        list[str],
        typer.Argument(metavar="[NAME=]SOURCE[,SOURCE]...", help="Run folder, runs:/ID, models:/NAME@ALIAS, models:/NAME/3 or parquet."),
    ],
    data: Annotated[list[str], typer.Option(help="Logs to evaluate on: files, folders, globs, URIs, with their filters. Repeatable.")],
    baseline: Annotated[str | None, typer.Option(metavar="NAME", help="The candidate to beat; the first one.")] = None,
    slices: Annotated[str, typer.Option(metavar="A,B", help="Columns whose values are looked at one by one.")] = "",
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Tasks to compare on; all.")] = "",
    margin: Annotated[list[str], typer.Option(metavar="[TASK=]X", help="Smallest difference that matters; 0. Repeatable.")] = [],  # noqa: B006
    guardrails: Annotated[str | None, typer.Option(metavar="A,B", help="Tasks that must not become worse; all. '' for none.")] = None,
    user: Annotated[str | None, typer.Option(metavar="COLUMN", help="Whose rows belong together; that of the log's description.")] = None,
    time: Annotated[str | None, typer.Option(metavar="COLUMN", help="When; that of the log's description.")] = None,
    request: Annotated[str | None, typer.Option(metavar="COLUMN", help="Rows of one request: adds recall and NDCG.")] = None,
    at: Annotated[str, typer.Option(metavar="K,K", help="Places of recall and NDCG.")] = "10",
    item_duration: Annotated[str | None, typer.Option(metavar="COLUMN", help="Adds duration metrics by buckets of this.")] = None,
    policy: Annotated[list[str], typer.Option(metavar="FORMULA", help="Rank by it, such as 'ctr^0.7 * cvr^0.3'. Repeatable.")] = [],  # noqa: B006
    propensity: Annotated[str | None, typer.Option(metavar="COLUMN", help="Probability with which a row was shown.")] = None,
    shown: Annotated[str | None, typer.Option(metavar="COLUMN", help="1 where a row was shown; all rows.")] = None,
    reward: Annotated[str | None, typer.Option(metavar="COLUMN", help="What a policy earns where its choice is shown.")] = None,
    temperature: Annotated[float, typer.Option(min=0, help="Of a policy's softmax; 0 chooses the highest.")] = 0.0,
    clip: Annotated[float, typer.Option(min=1, help="Largest weight of a row in a policy's value.")] = 100.0,
    replicates: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    config: Annotated[Path | None, typer.Option(help="Configuration whose tasks the scores are of, where no candidate is a model.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for comparison.json, page.html and scores/.")] = Path("evaluation"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier evaluation in the output folder.")] = False,
    nproc: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    tracking_uri: Annotated[str | None, typer.Option(help="MLflow store; else MLFLOW_TRACKING_URI, else sqlite:///mlflow.db.")] = None,
    experiment: Annotated[str, typer.Option(help="MLflow experiment of the evaluation; '' to keep it out of MLflow.")] = "evaluations",
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the comparison for machines.")] = None,
) -> None:
    """Score the rows of --data with every candidate, and say which is better at what, for whom, and how sure that is."""
    quieten()
    from rich.console import Console

    from recsys.config_file import load_config
    from recsys.evaluation.page import write_page
    from recsys.offline.evaluate import Question
    from recsys.offline.evaluate import evaluate as answer
    from recsys.offline.output import PAGE, RECORD, prepare_output
    from recsys.offline.show import show
    from recsys.tracking.models import fetch, store_of
    from recsys.tracking.models import tracking_uri as uri_of

    prepare_output(output, overwrite=overwrite)
    question = Question(
        candidates=candidates,
        data=data,
        output=output.absolute(),
        command=shlex.join(["recsys", *sys.argv[1:]]),
        baseline=baseline,
        slices=_words(slices),
        tasks=_words(tasks),
        given_tasks=load_config(config).tasks if config else (),
        margins=_margins(margin),
        guardrails=None if guardrails is None else _words(guardrails),
        user=user,
        time=time,
        request=request,
        item_duration=item_duration,
        at=_places(at),
        formulas=tuple(policy),
        exposure=_exposure(request, propensity, reward, shown, temperature, clip),
        replicates=replicates,
        seed=seed,
        threads=os.cpu_count() or 1,
    )
    console = Console()
    with _bar(replicates) as advance:
        found = answer(question, lambda source: fetch(source, uri_of(tracking_uri)), lambda asked: _score(asked, nproc), advance)
    comparison = found.comparison
    files = [output / RECORD, output / PAGE]
    comparison.save(files[0])
    write_page(comparison, files[1])
    if json_file is not None:
        comparison.save(json_file)
    show(console, comparison)
    console.print(f"\ncomparison.json, page.html and scores/ are in {output}", highlight=False)
    if experiment:
        _track(console, comparison, files, output, store_of(tracking_uri, found.folders), experiment)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _margins(given: list[str]) -> dict[str, float]:
    """By task; that of all the others under ''."""
    margins = {}
    for text in given:
        task, _, number = text.rpartition("=")
        try:
            margins[task] = float(number)
        except ValueError:
            margins[task] = -1.0
        if not margins[task] >= 0:
            raise InputError(f"--margin {text}: must be a number not below 0, or TASK=NUMBER, such as ctr=0.001")
    return margins


def _places(text: str) -> tuple[int, ...]:
    words = _words(text)
    if not words or not all(word.isdigit() and int(word) for word in words):
        raise InputError(f"--at {text}: must be places from 1 on, such as 5,10")
    return tuple(map(int, words))


def _exposure(
    request: str | None, propensity: str | None, reward: str | None, shown: str | None, temperature: float, clip: float
) -> Exposure | None:
    from recsys.offline.policies import Exposure

    given = {"--request": request, "--propensity": propensity, "--reward": reward}
    if propensity is None and reward is None and shown is None:
        return None
    if missing := [option for option, column in given.items() if column is None]:
        raise InputError(f"{', '.join(missing)}: a policy's value needs these columns too; leave all out for trade-offs alone")
    assert request and propensity and reward
    return Exposure(request, propensity, reward, shown, temperature, clip)


def _score(request: Request, nproc: int) -> None:
    """In this process, or in several that torchrun's agent starts."""
    from pipelines.score import score_request
    from recsys.offline.output import REQUEST
    from recsys.training.launcher import launch

    file = request.output / REQUEST
    file.write_text(request.model_dump_json(indent=1) + "\n")
    if nproc == 1:
        score_request(file)
    else:
        launch("pipelines.score", [str(file)], nproc)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    """Shown from the first replicate on."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("bootstrap"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = progress.add_task("bootstrap", total=total)

    def advance() -> None:
        progress.start()
        progress.advance(task)

    try:
        yield advance
    finally:
        progress.stop()


def _track(console: Console, comparison: Comparison, files: list[Path], output: Path, uri: str, experiment: str) -> None:
    from recsys.tracking.evaluations import log_evaluation

    report = log_evaluation(comparison, files, output, uri, experiment)
    console.print(f"{report.message} to experiment {experiment} at {uri}", highlight=False, soft_wrap=True)
