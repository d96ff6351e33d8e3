"""What a reader does about damaged data and about reads that hang."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Literal, TypeVar, get_args

from pydantic import Field

from recsys.errors import InputError, JobError
from recsys.section import Section

Kind = Literal["file", "column", "page", "value"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Policy = Literal["stop", "skip"]
Item = TypeVar("Item")
Result = TypeVar("Result")
PATIENCE_AT_THE_END = 5.0  # seconds that a read may still take when nobody wants its rows any more
log = logging.getLogger(__name__)


class OnErrorConfig(Section):
    """What is done about each kind of damage: `stop` ends the job, `skip` leaves rows out and counts them. One word stands for all four."""

    file: Policy = Field("stop", description="A file that is not whole parquet, can't be opened, vanished or was replaced: all of it.")
    column: Policy = Field("stop", description="A file that lacks a column or has it in another type: all of it.")
    page: Policy = Field("stop", description="Pages that don't decode or have a wrong checksum: the row group, within a window.")
    value: Policy = Field("stop", description="A value that doesn't fit, such as NaN or a label of 7: the row group, within a window.")


class Damage(InputError):
    """Damage of a log, and of which kind. rows: of the file, where they are known."""

    def __init__(self, kind: Kind, message: str, rows: int | None = None) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.rows = rows


def kind_of(error: InputError) -> Kind:
    """The kind of damage; what the transforms refuse is a value."""
    return error.kind if isinstance(error, Damage) else "value"


class Guard:
    """Knows what is to be skipped, says what was, and notices a read that hangs.

    timeout: seconds that one read (opening a file; the bytes of a row group and its next rows) may take.
    """

    def __init__(self, on_error: OnErrorConfig | None = None, timeout: float = 300.0, rank: int = 0) -> None:
        self._on_error, self._timeout, self._rank = on_error or OnErrorConfig(), timeout, rank
        self._reads: dict[int, tuple[str, float]] = {}
        self._told: set[str] = set()

    @property
    def skips(self) -> bool:
        """Whether anything may be skipped."""
        return any(policy == "skip" for policy in self._on_error.model_dump().values())

    def skip(self, error: InputError) -> Kind:
        """The kind of the damage, which is told once; raises the error when it is not to be skipped."""
        kind = kind_of(error)
        if getattr(self._on_error, kind) == "stop":
            raise error
        if str(error) not in self._told:
            self._told.add(str(error))
            log.warning("skipped: %s", error)
        return kind

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Around whatever may hang; `where` names the file and the row group."""
        thread = threading.get_ident()
        self._reads[thread] = where, time.monotonic()
        try:
            yield
        finally:
            self._reads.pop(thread, None)

    def result(self, future: Future[Result], stop: threading.Event | None = None) -> Result:
        """What a worker made. Raises JobError when a read hangs, RuntimeError when `stop` is set meanwhile."""
        while not wait([future], timeout=min(1.0, self._timeout / 4)).done:
            self._check()
            if stop is not None and stop.is_set():
                raise RuntimeError("the reader was closed")
        return future.result()

    def _check(self) -> None:
        now = time.monotonic()
        for where, since in list(self._reads.values()):
            if now - since > self._timeout:
                raise JobError(
                    f"rank {self._rank}: {where}: nothing came for {self._timeout:g} s (data.timeout), the disk or store hangs; "
                    "once it answers, --resume goes on from the last checkpoint"
                )


class Workers:
    """A pool of threads that a hung read can't keep the process from ending with, as those of ThreadPoolExecutor can."""

    def __init__(self, threads: int, name: str) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}_{i}", daemon=True) for i in range(threads)]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[..., Result], *arguments: object) -> Future[Result]:
        """Have a thread call the function."""
        future: Future[Result] = Future()
        self._tasks.put(lambda: _run(future, function, arguments))
        return future

    def close(self) -> bool:
        """Forget what hasn't begun and wait a little for the rest; whether all threads have ended."""
        while not self._tasks.empty():
            self._tasks.get()
        for _ in self._threads:
            self._tasks.put(None)
        end = time.monotonic() + PATIENCE_AT_THE_END
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


def guarded_map(guard: Guard, threads: int, name: str, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The function of each item in order, by several threads, none of which may hang."""
    workers = Workers(threads, name)
    try:
        futures = [workers.submit(function, item) for item in items]
        for future in futures:
            yield guard.result(future)
    finally:
        workers.close()


def _run(future: Future[Result], function: Callable[..., Result], arguments: tuple[object, ...]) -> None:
    try:
        future.set_result(function(*arguments))
    except BaseException as error:
        future.set_exception(error)
