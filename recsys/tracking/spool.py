"""What a job says to its tracking server, on disk first.

`JOB.jsonl` is a file of JSON lines that only grows: a header (uri, experiment, run name), then one record a call. `JOB.state.json`
holds how much of it the server has acknowledged and the id of the run; `JOB.refused.jsonl` what the server will never take.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from recsys.files import write_whole

Record = dict[str, Any]

GROUP = 1000  # values that are read, sent and acknowledged together: MLflow's limit of metrics a call


class Spool:
    """The records of one job. One thread appends while another, or a later process, reads and acknowledges.

    A record is written to the operating system before `append` returns (no fsync): it survives the death of the process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused_path = path.with_suffix(".refused.jsonl")
        self._state_path = path.with_suffix(".state.json")
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        with path.open("rb") as lines:
            self._start = len(header := lines.readline())
        self.header: Record = json.loads(header)
        self.load_state()

    @classmethod
    def create(cls, folder: Path, **header: str | None) -> Spool:
        """A new spool in `folder`, with a job id of its own in its header."""
        folder.mkdir(parents=True, exist_ok=True)
        job = uuid.uuid4().hex
        path = folder / f"{job}.jsonl"
        write_whole(path, json.dumps({"job": job, "timestamp": _now(), **header}) + "\n")
        return cls(path)

    def load_state(self) -> None:
        """Read again what has been acknowledged, by whatever process."""
        state = json.loads(self._state_path.read_text()) if self._state_path.exists() else {}
        self.offset: int = state.get("offset", self._start)
        self.sent: int = state.get("sent", 0)
        self.run_id: str | None = state.get("run_id", self.header["run_id"])

    def append(self, kind: str, **content: Any) -> None:
        """Add a record that happened now."""
        line = json.dumps({"kind": kind, "timestamp": _now(), **content}) + "\n"
        with self._lock:
            if self._file is None:
                self._file = open_after_whole_line(self.path)
            self._file.write(line.encode())
            self._file.flush()

    def pending(self) -> tuple[list[Record], int]:
        """The next records to send, of about GROUP values at most, and the offset that acknowledges them."""
        records: list[Record] = []
        end, values = self.offset, 0
        for record, after in self._read(self.offset):
            records.append(record)
            end, values = after, values + size(record)
            if values >= GROUP:
                break
        return records, end

    def acknowledge(self, offset: int, sent: int, refused: Sequence[Record]) -> None:
        """Note that everything before `offset` is done with: `sent` values arrived, `refused` the server will never take."""
        if refused:
            with self.refused_path.open("a") as file:
                file.writelines(json.dumps(item) + "\n" for item in refused)
        self.offset, self.sent = offset, self.sent + sent
        self._save()

    def set_run(self, run_id: str) -> None:
        """Note the id of the run."""
        self.run_id = run_id
        self._save()

    def count_pending(self) -> int:
        """Values not yet acknowledged."""
        return sum(size(record) for record, _ in self._read(self.offset))

    def count_refused(self) -> int:
        """Items that the server refused, over all attempts of the job."""
        return len(self.refused_path.read_text().splitlines()) if self.refused_path.exists() else 0

    def records(self) -> Iterator[Record]:
        """Every record from the beginning, acknowledged or not, without the header."""
        return (record for record, _ in self._read(self._start))

    @contextlib.contextmanager
    def sending(self) -> Iterator[None]:
        """Nobody else sends meanwhile. Raises BlockingIOError where somebody does."""
        with self.path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError("another process is sending") from error
            yield

    def _read(self, offset: int) -> Iterator[tuple[Record, int]]:
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                with contextlib.suppress(json.JSONDecodeError):  # torn by a kill
                    yield json.loads(line), offset

    def _save(self) -> None:
        write_whole(self._state_path, json.dumps({"run_id": self.run_id, "offset": self.offset, "sent": self.sent}))


def size(record: Record) -> int:
    """Values in a record: each metric, parameter and tag is one, and so is everything else."""
    values = record.get("values")
    return 1 if values is None else len(values)


def open_after_whole_line(path: Path) -> BinaryIO:
    """Open a file of lines for appending; a last line that a kill left without its end gets one, and stands alone."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        torn = file.read(1) != b"\n"
    appending = path.open("ab")
    if torn:
        appending.write(b"\n")
    return appending


def _now() -> int:
    return int(time.time() * 1000)
