"""One comparison a folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import InputError

PATIENCE = 60.0  # seconds that the children of a killed comparison have to end


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold `folder`; the value is a descriptor that children inherit, so that it is held until the last of them has gone.

    Raises InputError when another comparison holds it. Waits for the children of one that was killed.
    """
    path = folder / ".lock"
    with path.open("a+") as file:
        deadline = time.monotonic() + PATIENCE
        while not _taken(file.fileno()):
            file.seek(0)
            holder = file.read().strip()
            if _lives(holder) or time.monotonic() > deadline:
                raise InputError(f"{folder}: another comparison (process {holder}) is at work there; wait for it or name another folder")
            time.sleep(0.2)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield file.fileno()


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True
