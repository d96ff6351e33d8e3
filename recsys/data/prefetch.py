"""A generator run ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """What the thread sends last, with the exception that ended it."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


def prefetch(produce: Callable[[threading.Event], Generator[Item, None, None]], depth: int) -> Generator[Item, None, None]:
    """The items of `produce(stop)`, made in a thread that is up to `depth` items ahead.

    An exception of the thread is raised here, after the items before it. When this iterator is closed early, `stop` is set, the thread's
    generator is closed, and closing waits until it has ended: no thread outlives the iterator.
    """
    items: queue.Queue[Item | _End] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(produce, items, stop), name="batches", daemon=True)
    thread.start()
    try:
        while not isinstance(item := items.get(), _End):
            yield item
        if item.error:
            raise item.error
    finally:
        stop.set()
        while thread.is_alive():  # it may wait for room in the queue
            with suppress(queue.Empty):
                items.get(timeout=0.01)


def _run(produce: Callable[[threading.Event], Generator[Item, None, None]], items: queue.Queue[Item | _End], stop: threading.Event) -> None:
    end = _End()
    try:
        with closing(produce(stop)) as generator:
            for item in generator:
                items.put(item)
                if stop.is_set():
                    break
    except BaseException as error:
        end = _End(error)
    items.put(end)
