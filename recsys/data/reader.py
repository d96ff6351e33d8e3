"""Parquet logs -> the batches of a rank."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from recsys.config import BinaryTask, DataConfig, DurationTask
from recsys.data.batch import Batch
from recsys.data.columns import to_batch
from recsys.data.fingerprint import Fingerprint, fingerprint
from recsys.data.guard import KINDS, Guard, Kind, Workers
from recsys.data.layout import Layout
from recsys.data.plan import Plan, owned_streams
from recsys.data.prefetch import prefetch
from recsys.data.source import open_source
from recsys.data.statistics import Statistics
from recsys.data.stream import Stream
from recsys.data.transforms import Transforms
from recsys.errors import InputError


class Reader:
    """The rows of some parquet files as the batches of one rank.

    Every row comes exactly once an epoch. The batches of all ranks, put together in rank order, don't depend on the number of ranks. Every
    rank has `len(reader)` steps; one that has no rows left in a step gets a single row that counts for nothing.

    Memory: for each of its streams a rank holds at most two windows of transformed rows (the one in use and the next; while the next is
    made also its unshuffled rows), the compressed bytes of the needed columns of one row group and one decoded batch of up to 32,768 rows;
    and `prefetch` batches. A transformed row takes about 4 bytes an id, 8 a list, 4 D + 5 K + 4 for the rest, whatever the files' size.

    Speed: parquet cannot be entered in the middle of a row group, so each stream that begins inside one first decodes what is before. That
    is nothing beside many row groups; a small split in one huge row group is decoded about `streams` / 2 times. Row groups of up to
    1 / (4 `streams`) of the rows keep it below an eighth.

    Example::

        reader = Reader(config.data.train, config.data, layout(config.features), config.tasks, statistics, rank=0, world_size=1)
        for epoch in range(config.train.epochs):
            for batch in reader.epoch(epoch):
                step(batch)
    """

    def __init__(
        self,
        paths: Sequence[str],
        config: DataConfig,
        layout: Layout,
        tasks: Sequence[BinaryTask | DurationTask],
        statistics: Statistics,
        *,
        batch_size: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Looks at every footer. Raises InputError when the files, their columns or the sizes don't fit the configuration."""
        batch_size = batch_size or config.batch_size
        if batch_size % config.streams:
            raise InputError(f"batch_size {batch_size} must be a multiple of data.streams {config.streams}; change one of them")
        self._config, self._streams = config, owned_streams(config.streams, rank, world_size)
        self._transforms = Transforms(layout, tasks, config.weight, statistics)
        self._guard = Guard(config.on_error, config.timeout, rank)
        self._name, self._skipped = ", ".join(paths), np.zeros(len(KINDS), np.int64)
        self._source = open_source(paths, self._transforms.needs, config.threads, config.store, self._guard)
        self._plan = Plan(
            groups=self._source.groups,
            streams=config.streams,
            step_rows=batch_size // config.streams,
            window_rows=config.window,
            seed=seed,
            shuffle=shuffle,
        )
        self.check_budget(0)

    def __len__(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return self._plan.steps

    @property
    def rows(self) -> int:
        """Rows of an epoch, over all ranks."""
        return self._plan.rows

    @property
    def plan(self) -> Plan:
        """Which rows each step of epoch 0 takes."""
        return self._plan

    @property
    def skips(self) -> bool:
        """Whether any damage may be skipped."""
        return self._guard.skips

    @property
    def lost_files(self) -> dict[Kind, int]:
        """How many files are left out, by kind of damage."""
        return dict(Counter(file.kind for file in self._source.lost))

    def take_skipped(self) -> NDArray[np.int64]:
        """(kinds,) rows of this rank's steps that were skipped since the last call, by kind of damage (`guard.KINDS`)."""
        taken, self._skipped = self._skipped, np.zeros(len(KINDS), np.int64)
        return taken

    def check_budget(self, skipped: int) -> None:
        """Raises InputError when, with so many rows of one epoch, more are skipped than `data.skip_budget` permits."""
        lost, rows = self._source.lost_rows, self.rows
        if lost + skipped > self._config.skip_budget * (rows + lost):
            told = (
                f"{lost + skipped:,} of {rows + lost:,} rows were skipped, more than data.skip_budget {self._config.skip_budget:g} permits"
            )
            raise InputError(f"{self._name}: {told}; mend the log or raise it")

    @property
    def fingerprint(self) -> Fingerprint:
        """What the order of the rows follows from, for checkpoints."""
        return fingerprint(self._plan, self._source.files)

    def epoch(self, epoch: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch, from `start_step`; those before are skipped without decoding their windows.

        Raises InputError when data is damaged or against its schema, unless `data.on_error` skips it and `data.skip_budget` permits that;
        JobError when a read hangs. Closing the iterator stops its threads.
        """
        plan, skipped_before = replace(self._plan, epoch=epoch), 0
        with closing(prefetch(lambda stop: self._batches(plan, start_step, stop), self._config.prefetch)) as batches:
            for batch, skipped in batches:
                if skipped is not None:
                    self._skipped += skipped
                    skipped_before += int(skipped.sum())
                    self.check_budget(skipped_before)
                yield batch

    def _batches(self, plan: Plan, start_step: int, stop: threading.Event) -> Generator[tuple[Batch, NDArray[np.int64] | None], None, None]:
        """The batches and what was skipped of them, by kind of damage, where any was."""
        workers = Workers(self._config.threads, "windows")
        shared = (start_step, self._guard, workers, stop)
        streams = [Stream(self._source, self._transforms, plan, stream, *shared) for stream in self._streams]
        try:
            for step in range(start_step, plan.steps):
                parts = [part for stream in streams if (part := stream.part(step)) is not None]
                rows = [part.rows for part in parts if len(part.rows)]
                batch = to_batch(rows or [self._transforms.padding], self._transforms.layout)
                skipped = [part.skipped for part in parts if part.skipped is not None]
                # Copies to a GPU are only asynchronous from page-locked memory; pinning waits, so it is done here, ahead.
                yield batch.pin_memory() if torch.cuda.is_available() else batch, np.sum(skipped, 0) if skipped else None
        finally:
            stop.set()
            if workers.close():  # else a hung read still has its file
                for stream in streams:
                    stream.close()
