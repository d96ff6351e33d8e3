"""Checkpoints: whole or not there, whenever the job is killed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from recsys.errors import InputError, JobError

State = dict[str, Any]


class Checkpoints:
    """The checkpoints of a run in one folder: the latest and the best, named by `index.json`.

    A checkpoint is written to a temporary name, flushed, and renamed; the index is replaced after that, and only then are
    checkpoints deleted that it no longer names. So a kill at any moment leaves the last good one.
    """

    def __init__(self, folder: Path, rank: int) -> None:
        self.folder = folder
        self.rank = rank

    @property
    def index(self) -> dict[str, str]:
        """`latest` and `best` -> folder name."""
        path = self.folder / "index.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def save(self, state: State, progress: dict[str, Any], *, best: bool) -> None:
        """Write `state` (tensors, sharded or not) and `progress` (JSON) as the latest checkpoint, and as the best if `best`. Collective.

        Raises JobError where a rank can't write its part, as on a full disk.
        """
        name = f"step-{progress['clock']['step']:08d}"
        temporary, final = self.folder / f"{name}.writing", self.folder / name
        if self.rank == 0:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        dist.barrier()
        try:
            dcp.save(state, checkpoint_id=temporary)
        except CheckpointException as error:
            raise _told(temporary, error) from error
        dist.barrier()
        if self.rank == 0:
            _write_flushed(temporary / "progress.json", json.dumps(progress, indent=1))
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            self._point_to(name, best)
        dist.barrier()

    def parts(self, which: Literal["latest", "best"]) -> set[str]:
        """What a checkpoint holds of `model`, `optimizer` and `balancer`."""
        saved = dcp.FileSystemReader(self.folder / self.index[which]).read_metadata().state_dict_metadata
        return {name.partition(".")[0] for name in saved}

    def load(self, which: Literal["latest", "best"], state: State) -> dict[str, Any]:
        """Fill the tensors of `state` in place and return the progress. Collective; reshards when the world size or plan differ.

        Raises InputError where there is no such checkpoint.
        """
        index = self.index
        if which not in index:
            raise InputError(f"{self.folder}: holds no {which} checkpoint to go on from; train without --resume")
        path = self.folder / index[which]
        _take_sizes(path, state.get("balancer", {}))
        dcp.load(state, checkpoint_id=path)
        return json.loads((path / "progress.json").read_text())

    def _point_to(self, name: str, best: bool) -> None:
        index = {**self.index, "latest": name, **({"best": name} if best else {})}
        _write_flushed(self.folder / "index.json.writing", json.dumps(index))
        (self.folder / "index.json.writing").replace(self.folder / "index.json")
        for path in self.folder.glob("step-*"):
            if path.name not in index.values():
                shutil.rmtree(path)


def _take_sizes(path: Path, balancer: State) -> None:
    """Give the balancer's tensors their saved sizes: a state by feature has none before its first step."""
    saved = dcp.FileSystemReader(path).read_metadata().state_dict_metadata
    for name, tensor in balancer.items():
        known = saved.get(f"balancer.{name}")
        if isinstance(known, TensorStorageMetadata) and known.size != tensor.shape:
            balancer[name] = tensor.new_empty(known.size)


def _told(path: Path, error: CheckpointException) -> BaseException:
    """One line where a file couldn't be written. torch tells of a disk that is full in the middle of a tensor as a RuntimeError."""
    for rank, (cause, _) in error.failures.items():
        if isinstance(cause, OSError | RuntimeError):
            why = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).splitlines()[0]
            return JobError(f"{path}: rank {rank} could not write it ({why}); make room, and --resume goes on from the last checkpoint")
    return error


def _write_flushed(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
