"""The scores of the final test evaluation, kept row by row, so that runs can be compared on the same rows without scoring again."""

from __future__ import annotations

import shutil
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor

from recsys.config import Config
from recsys.data.guard import Guard
from recsys.data.plan import owned_streams
from recsys.data.reader import Reader
from recsys.data.schema import Schema
from recsys.distributed import World
from recsys.errors import InputError
from recsys.offline.request import Request
from recsys.offline.rows import LogRows, write_parts
from recsys.offline.stripes import Stripes, by_stream

RUN = "run"  # the scores are in columns `score/run/TASK`


def check_scores_can_be_kept(config: Config) -> None:
    """Refuse to keep scores where there is no test split, or where rows of it may be skipped: a score must find its row."""
    if not config.evaluate.keep_scores:
        return
    if not config.data.test:
        raise InputError("evaluate.keep_scores: there is no data.test to score; name its files or leave it out")
    if Guard(config.data.on_error).skips:
        raise InputError("evaluate.keep_scores: no row may be skipped where scores are kept by row; set data.on_error=stop")


class KeptScores:
    """Takes this rank's predictions on the test split, batch by batch, and puts them beside the rows of the log.

    The files are those of an offline evaluation (`scores/*.parquet`): `file`, `row`, the user's column where the log's description names
    one, `label/TASK`, `valid/TASK`, `score/run/TASK`. They don't depend on the number of ranks.
    """

    def __init__(self, config: Config, reader: Reader, world: World, output: Path) -> None:
        """Collective: what an earlier attempt left is removed."""
        schema = Schema.beside(config.data.test, config.data.store)
        self.user = schema.user if schema else None
        self._request = Request(
            data=config.data.test,
            tasks=config.tasks,
            runs=[],
            columns={self.user: "the user of kept scores"} if self.user else {},
            output=output,
            store=config.data.store,
        )
        self._plan, self._world = reader.plan, world
        starts = [0, *accumulate(self._plan.stream_rows(stream) for stream in range(self._plan.streams))][:-1]
        self._stripes = Stripes(self._request.scratch, starts, len(config.tasks))
        self._streams = owned_streams(self._plan.streams, world.rank, world.size)
        if world.rank == 0:
            shutil.rmtree(self._request.scratch, ignore_errors=True)
            shutil.rmtree(self._request.scores, ignore_errors=True)
        dist.barrier(group=world.group)

    def add(self, step: int, predictions: Tensor) -> None:
        """(B, K) predictions of this rank's rows in a step of the test split."""
        for stream, part in by_stream(self._plan, self._streams, step, predictions.cpu().numpy()):
            self._stripes.append(stream, part)

    def write(self) -> dict[str, Any]:
        """Write the files; where they are. Collective."""
        dist.barrier(group=self._world.group)
        write_parts(self._request, LogRows(self._request), {RUN: self._stripes}, self._world, lambda: None)
        dist.barrier(group=self._world.group)
        if self._world.rank == 0:
            shutil.rmtree(self._request.scratch, ignore_errors=True)
        return {"folder": self._request.scores.name, "run": RUN, "user": self.user}
