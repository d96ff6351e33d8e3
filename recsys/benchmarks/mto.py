"""What a strategy costs: whole training steps, timed strictly in turn with those of equal weights."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

import emtl
from recsys.benchmarks.candidates import Balanced, Candidate, Loop, Plain, TorchJD, balanced, has_torchjd
from recsys.benchmarks.workload import DESCRIPTION, TASKS, Workload
from recsys.distributed import World, process_group
from recsys.errors import InputError

SCOPES = ("representation", "parameters")
WARM_UP = 2  # pairs ahead of each block that are not counted


@dataclass(frozen=True)
class Settings:
    """What is timed: `repeats` rounds over all candidates, in each of which a candidate has `steps` pairs of steps."""

    strategies: tuple[str, ...]
    scopes: tuple[str, ...]
    batch: int
    steps: int
    repeats: int


@dataclass(frozen=True)
class Row:
    """One candidate against equal weights.

    ratio: median over the pairs of (its step / the step of equal weights just before); low, high: their quartiles;
    repeats: that median in each round. cpu_ratio, cpu_low, cpu_high: the same of the process's processor time, which other work on
    the machine disturbs less. milliseconds: median of its steps; equal: that of the steps it was paired with.
    """

    name: str
    scope: str
    ratio: float
    low: float
    high: float
    repeats: list[float]
    cpu_ratio: float
    cpu_low: float
    cpu_high: float
    milliseconds: float
    equal: float


def run(settings: Settings, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """The rows, the conditions and what was left out, fit for JSON. `tell` hears of each round.

    Raises InputError for an unknown strategy or scope.
    """
    with process_group() as world:
        candidates, left_out = _candidates(settings, world)
        before = os.getloadavg()
        workload = Workload(world, settings.batch)
        reference = balanced("equal", "representation", len(TASKS), world.balancer)
        seconds: list[list[numpy.ndarray]] = [[] for _ in candidates]
        for number in range(settings.repeats):
            for (name, scope, candidate), blocks in zip(candidates, seconds, strict=True):
                tell(f"round {number + 1} of {settings.repeats}: {name}, {scope}")
                blocks.append(_pairs(workload, reference, candidate, settings.steps))
        rows = [_row(name, scope, blocks) for (name, scope, _), blocks in zip(candidates, seconds, strict=True)]
        conditions = _conditions(settings, world) | {"load_before": before, "load_after": os.getloadavg()}
    return {"conditions": conditions, "rows": [asdict(row) for row in rows], "left_out": left_out}


def _candidates(settings: Settings, world: World) -> tuple[list[tuple[str, str, Candidate]], list[str]]:
    """(name, scope, candidate) of each one, and a line for each one that there can't be."""
    found: list[tuple[str, str, Candidate]] = []
    left_out = []
    everything = settings.strategies == ("all",)
    for scope in settings.scopes:
        for name in emtl.names() if everything else settings.strategies:
            try:
                found.append((name, scope, balanced(name, scope, len(TASKS), world.balancer)))
            except InputError as error:
                if not everything:
                    raise
                left_out.append(f"{name}, {scope}: {error}")
    found += [("plain sum", "no fork", Plain(len(TASKS))), ("K backwards", "loop", Loop(len(TASKS)))]
    if has_torchjd():
        found.append(("torchjd UPGrad", "mtl_backward", TorchJD(len(TASKS))))
    else:
        left_out.append("torchjd, mtl_backward: it is not installed (pip install torchjd)")
    return found, left_out


def _pairs(workload: Workload, reference: Balanced, candidate: Candidate, steps: int) -> numpy.ndarray:
    """(steps, 2, 2): of the reference's step and then the candidate's on the same batch, seconds and processor seconds."""
    pairs = [(_timed(workload, reference, number), _timed(workload, candidate, number)) for number in range(WARM_UP + steps)]
    return numpy.array(pairs[WARM_UP:])


def _timed(workload: Workload, candidate: Candidate, number: int) -> tuple[float, float]:
    _wait(workload.world.device)
    started = time.perf_counter(), time.process_time()
    workload.step(candidate, number)
    _wait(workload.world.device)
    return time.perf_counter() - started[0], time.process_time() - started[1]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(name: str, scope: str, blocks: Sequence[numpy.ndarray]) -> Row:
    pairs = numpy.concatenate(blocks)
    (low, cpu_low), (ratio, cpu_ratio), (high, cpu_high) = numpy.quantile(pairs[:, 1] / pairs[:, 0], [0.25, 0.5, 0.75], axis=0).tolist()
    repeats = [float(numpy.median(block[:, 1, 0] / block[:, 0, 0])) for block in blocks]
    equal, own = (1e3 * numpy.median(pairs[:, :, 0], axis=0)).tolist()
    return Row(name, scope, ratio, low, high, repeats, cpu_ratio, cpu_low, cpu_high, own, equal)


def _conditions(settings: Settings, world: World) -> dict[str, Any]:
    return {
        "model": DESCRIPTION,
        "batch": settings.batch,
        "steps": settings.steps,
        "repeats": settings.repeats,
        "processes": world.size,
        "device": torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else "cpu",
        "cpu": next(_cpu_names(), platform.machine()),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _cpu_names() -> Iterator[str]:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                yield line.partition(":")[2].strip()
