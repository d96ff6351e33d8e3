"""Parquet logs -> the batches of a rank."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from recsys.config import BinaryTask, DataConfig, DurationTask
from recsys.data.batch import Batch
from recsys.data.columns import Rows, join, to_batch
from recsys.data.decode import Decoder
from recsys.data.fingerprint import Fingerprint, fingerprint
from recsys.data.layout import Layout
from recsys.data.plan import Plan, Window, owned_streams
from recsys.data.prefetch import prefetch
from recsys.data.source import Source, open_source
from recsys.data.statistics import Statistics
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
        self._source = open_source(paths, self._transforms.needs, config.threads, config.store)
        self._plan = Plan(
            groups=[(i, j, rows) for i, file in enumerate(self._source.files) for j, rows in enumerate(file.groups)],
            streams=config.streams,
            step_rows=batch_size // config.streams,
            window_rows=config.window,
            seed=seed,
            shuffle=shuffle,
        )

    def __len__(self) -> int:
        """Steps of an epoch, the same on every rank."""
        return self._plan.steps

    @property
    def rows(self) -> int:
        """Rows of an epoch, over all ranks."""
        return self._plan.rows

    @property
    def fingerprint(self) -> Fingerprint:
        """What the order of the rows follows from, for checkpoints."""
        return fingerprint(self._plan, self._source.files)

    def epoch(self, epoch: int, start_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch, from `start_step`; those before are skipped without decoding their windows.

        Raises InputError when data is damaged or against its schema. Closing the iterator stops its threads.
        """
        plan = replace(self._plan, epoch=epoch)
        return prefetch(lambda stop: self._batches(plan, start_step, stop), self._config.prefetch)

    def _batches(self, plan: Plan, start_step: int, stop: threading.Event) -> Generator[Batch, None, None]:
        with ThreadPoolExecutor(self._config.threads, thread_name_prefix="windows") as pool:
            streams = [_Stream(self._source, self._transforms, plan, stream, start_step, pool, stop) for stream in self._streams]
            try:
                for step in range(start_step, plan.steps):
                    parts = [part for stream in streams if (part := stream.rows(step)) is not None]
                    batch = to_batch(parts or [self._transforms.padding], self._transforms.layout)
                    # Copies to a GPU are only asynchronous from page-locked memory; pinning waits, so it is done here, ahead.
                    yield batch.pin_memory() if torch.cuda.is_available() else batch
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
                for stream in streams:
                    stream.close()


class _Stream:
    """The rows of one stream: one window in use while a thread makes the next."""

    def __init__(
        self,
        source: Source,
        transforms: Transforms,
        plan: Plan,
        stream: int,
        start_step: int,
        pool: ThreadPoolExecutor,
        stop: threading.Event,
    ) -> None:
        self._plan, self._stream, self._pool, self._stop = plan, stream, pool, stop
        self._transforms, self._decoder = transforms, Decoder(source, transforms.columns)
        self._windows = iter(plan.windows(stream, start_step))
        self._current: tuple[Window, Rows] | None = None
        self._next = self._submit()

    def rows(self, step: int) -> Rows | None:
        """The stream's rows of a step; None when it has no more."""
        first, last = self._plan.step(self._stream, step)
        if first == last:
            return None
        if self._current is None or first >= self._current[0].start + self._current[0].rows:
            assert self._next is not None
            self._current = None
            self._current = self._next.result()
            self._next = self._submit()
        window, rows = self._current
        return rows[first - window.start : last - window.start]

    def close(self) -> None:
        """Close its file, once no thread works for it."""
        self._decoder.close()

    def _submit(self) -> Future[tuple[Window, Rows]] | None:
        window = next(self._windows, None)
        return None if window is None else self._pool.submit(self._read, window)

    def _read(self, window: Window) -> tuple[Window, Rows]:
        parts = []
        for piece in window.pieces:
            for where, batch in self._decoder.read(piece):
                if self._stop.is_set():
                    raise RuntimeError("the reader was closed")
                parts.append(self._transforms(batch, where))
        rows, order = join(parts), self._plan.order(self._stream, window)
        return window, rows if order is None else rows.take(order)
