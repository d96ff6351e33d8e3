"""Every row scored once by every model, on all ranks, in bounded memory."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.config import Task
from recsys.cores import threads
from recsys.data.plan import owned_streams
from recsys.data.reader import Reader
from recsys.distributed import World, process_group
from recsys.errors import InputError
from recsys.models.tasks import predict
from recsys.offline.given import read_given, refuse_other_labels
from recsys.offline.model import Trained, load_trained
from recsys.offline.request import Request, Scored
from recsys.offline.rows import LogRows, write_parts
from recsys.offline.stripes import Stripes, by_stream


def score(request: Request, console: Console) -> None:
    """Write the parquet files of `request`. Collective: every rank of the job calls it.

    A model at a time is loaded, sharded over the ranks, and goes over the log once; then the log's own columns are read, and the scores
    put beside them. Ranks have the same number of steps. Raises InputError when the log doesn't fit a model.
    """
    with process_group() as world:
        torch.set_num_threads(threads(world.local_size))
        if world.rank == 0:
            shutil.rmtree(request.scratch, ignore_errors=True)
        dist.barrier()
        log = LogRows(request)
        stripes = {run.name: _score_run(request, run, world, console, log) for run in request.runs}
        dist.barrier()
        with progress("writing scores", len(log.parts), console) as advance:
            write_parts(request, log, stripes, world, advance)
        dist.barrier()
        if world.rank == 0:
            shutil.rmtree(request.scratch, ignore_errors=True)


def _score_run(request: Request, run: Scored, world: World, console: Console, log: LogRows) -> Stripes:
    """The scores of one run on disk."""
    if run.kind == "scores":
        return _score_file(request, run, world, log)
    try:
        trained = load_trained(run.path, world)
        reader = trained.reader(request.data, world)
    except InputError as error:
        raise InputError(f"candidate {run.name}: {error}") from error
    plan = reader.plan
    starts = [0, *accumulate(plan.stream_rows(stream) for stream in range(plan.streams))][:-1]
    stripes = Stripes(request.scratch / run.name, starts, len(request.tasks))
    places = [[task.name for task in trained.config.tasks].index(task.name) for task in request.tasks]
    with progress(f"scoring {run.name}", len(reader), console) as advance:

        def keep(stream: int, scores: NDArray[np.float32]) -> None:
            _refuse_nan(run, request.tasks, scores[:, places])
            stripes.append(stream, scores[:, places])

        _score_rows(reader, trained, world, keep, advance)
    del trained
    gc.collect()  # the next model needs the memory
    return stripes


def _score_file(request: Request, run: Scored, world: World, log: LogRows) -> Stripes:
    """Someone else's scores, brought into the log's order."""
    stripes = Stripes(request.scratch / run.name, [0], len(request.tasks))
    if world.rank == 0:
        refuse_other_labels(run.path, run.name, log, request.tasks)
        stripes.append(0, read_given(run.path, log, request.tasks))
    return stripes


@torch.no_grad()
def _score_rows(
    reader: Reader,
    trained: Trained,
    world: World,
    keep: Callable[[int, NDArray[np.float32]], None],
    advance: Callable[[], None],
) -> None:
    """Predict this rank's rows, and hand each stream's on in their order."""
    plan, streams = reader.plan, owned_streams(reader.plan.streams, world.rank, world.size)
    for step, batch in enumerate(reader.epoch(0)):
        scores = predict(trained.model(batch.to(world.device, non_blocking=True)), trained.config.tasks).cpu().numpy()
        for stream, part in by_stream(plan, streams, step, scores):
            keep(stream, part)
        advance()


def _refuse_nan(run: Scored, tasks: Sequence[Task], scores: NDArray[np.float32]) -> None:
    for task, column in zip(tasks, scores.T, strict=True):
        if missing := int(np.isnan(column).sum()):
            raise InputError(f"candidate {run.name}, task {task.name}: {missing} of {column.size} scores are NaN; train the model again")


@contextmanager
def progress(what: str, total: int, console: Console) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps, which goes when they are done."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
