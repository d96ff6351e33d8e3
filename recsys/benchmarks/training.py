"""What training reaches: samples a second from parquet, beside the same steps on one batch that stays in memory and plain TorchRec's."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

from recsys.benchmarks.machine import machine
from recsys.benchmarks.made_logs import document, kuairand_features, kuairand_shaped_log, repeated
from recsys.benchmarks.plain import plain_step, products
from recsys.config import Config
from recsys.config_file import load_config, parse_config
from recsys.data.batch import Batch
from recsys.data.listing import expand
from recsys.data.stores import PATIENCE
from recsys.distributed import World, process_group
from recsys.quiet import quieten
from recsys.training.assembly import build_trainer
from recsys.training.launcher import launch
from recsys.training.trainer import Trainer

DESCRIPTION = "MMoE of 4 experts 128-64, 36 id features of dimension 16, 3 tasks, EMTL"
WARM_UP, RESIDENT = 5, 50  # steps; the resident batch's blocks, no longer than an epoch, stand before and after an epoch from parquet
PRODUCTS_SECONDS = 1.0
PEERS = {1: 26 / 33, 2: 32 / 33}
"""TorchEasyRec 1.0 on this workload by number of processes, as a share of the plain step, both once measured on one 2-core machine (26,000
and 32,000 of 33,000 samples/s); the best known peer."""
MEASURES = ("parquet", "resident", "plain", "cpu_parquet", "cpu_resident", "cpu_plain", "products")


@dataclass(frozen=True)
class Settings:
    """data: a log that `recsys prepare kuairand` has written, taken ten times; None for a made one of `rows` rows, kept in `folder`.

    repeats: rounds, in each of which every setting is measured by processes of its own.
    """

    data: Path | None
    rows: int
    folder: Path
    batch: int
    repeats: int
    precisions: tuple[str, ...]
    processes: tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Processes, torch threads of each, and the precision."""

    processes: int
    threads: int
    precision: str


def run(settings: Settings, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Samples a second of each layout, in turn over `repeats` rounds, with ratios and conditions; fit for JSON."""
    before, layouts = machine(), _layouts(settings)
    found: dict[Layout, list[dict[str, float]]] = {layout: [] for layout in layouts}
    with tempfile.TemporaryDirectory() as scratch:
        config = _write_config(settings, Path(scratch), tell)
        for number in range(settings.repeats):
            for layout in layouts:
                tell(f"round {number + 1} of {settings.repeats}: {layout.processes} process(es), {layout.precision}")
                found[layout].append(_measure(config, layout, Path(scratch)))
    return {
        "workload": DESCRIPTION,
        "batch": settings.batch,
        "data": str(settings.data or "made"),
        "rows": next(iter(found.values()))[0]["rows"],
        "layouts": [_row(layout, measured, _fastest_plain(found)) for layout, measured in found.items()],
        "scaling": _scaling(found),
        "conditions": before | {"load_after": machine()["load"], "torch": torch.__version__},
    }


def _layouts(settings: Settings) -> list[Layout]:
    """One process on all cores, then each number of processes with one thread each."""
    cores = os.cpu_count() or 1
    shapes = dict.fromkeys([*((1, cores) for processes in settings.processes if processes == 1), *((own, 1) for own in settings.processes)])
    return [Layout(processes, threads, precision) for precision in settings.precisions for processes, threads in shapes]


def _write_config(settings: Settings, scratch: Path, tell: Callable[[str], None]) -> Path:
    if settings.data is None:
        log = kuairand_shaped_log(settings.folder, settings.rows, tell)
        data: dict[str, Any] = {}
    else:
        log = settings.data
        files = [found.path for found in expand(f"{log}/split=train", PATIENCE)]
        data = {"train": repeated(files, 10, scratch / "log")}
    job = document(log, kuairand_features(), data=data | {"batch_size": settings.batch}, mto={"strategy": "emtl"})
    parse_config(job, "the workload")
    path = scratch / "job.yaml"
    path.write_text(json.dumps(job))  # which is YAML, too
    return path


def _measure(config: Path, layout: Layout, scratch: Path) -> dict[str, float]:
    """What rank 0 of a fresh job tells."""
    result = scratch / "result.json"
    os.environ["OMP_NUM_THREADS"] = str(layout.threads)
    overrides = [f"train.precision={layout.precision}", f"run.output={scratch / 'run'}"]
    launch("recsys.benchmarks.training", [str(config), str(result), str(layout.threads), *overrides], layout.processes)
    return json.loads(result.read_text())


def _fastest_plain(found: dict[Layout, list[dict[str, float]]]) -> float:
    """Samples a second of the plain step in the layout that suits it best: what the peer's figures were measured beside isn't told."""
    return max(statistics.median(one["plain"] for one in measured) for measured in found.values())


def _row(layout: Layout, measured: list[dict[str, float]], plain: float) -> dict[str, Any]:
    medians = {name: statistics.median(one[name] for one in measured) for name in MEASURES}
    ratio = statistics.median(one["parquet"] / one["resident"] for one in measured)
    rounds = [one["parquet"] for one in measured]
    peer = PEERS.get(layout.processes) if layout.processes * layout.threads == 2 else None
    against = medians["parquet"] / plain / peer if peer else None
    return asdict(layout) | medians | {"ratio": ratio, "rounds": rounds, "against_peer": against}


def _scaling(found: dict[Layout, list[dict[str, float]]]) -> list[dict[str, Any]]:
    """Each number of processes against one, all with one thread each; round by round."""
    rows = []
    for layout, measured in found.items():
        one = found.get(Layout(1, 1, layout.precision))
        if layout.processes > 1 and one is not None:
            pairs = list(zip(measured, one, strict=True))
            medians = {
                name: statistics.median(own[name] / alone[name] * factor for own, alone in pairs)
                for name, factor in (("parquet", 1), ("resident", 1), ("plain", 1), ("products", 1), ("cpu_parquet", layout.processes))
            }
            rows.append({"processes": layout.processes, "precision": layout.precision} | medians)
    return rows


def worker(config: Config, result: Path, threads: int) -> None:
    """One rank: steps on a batch that stays, an epoch from parquet, steps on the batch again, plain steps; all ranks together."""
    with process_group() as world:
        torch.set_num_threads(threads)
        output = Path(config.run.output or "")
        output.mkdir(parents=True, exist_ok=True)
        trainer = build_trainer(config, world, output, Console(quiet=True), resume=False)
        reader = trainer.parts.readers["train"]
        with closing(reader.epoch(0)) as batches:
            batch = next(batches)
        for _ in range(WARM_UP):
            _step(trainer, batch)
        before = _resident(trainer, batch, world)
        parquet = _timed(world, reader.rows, _steps(trainer, reader.epoch(1)))
        after = _resident(trainer, batch, world)
        resident = [statistics.mean(pair) for pair in zip(before, after, strict=True)]
        plain = _plain(world, config.data.batch_size)
        measured = [reader.rows, *parquet, *resident, *plain, _products(world)]
        names = ("rows", "parquet", "cpu_parquet", "resident", "cpu_resident", "plain", "cpu_plain", "products")
        if world.rank == 0:
            result.write_text(json.dumps(dict(zip(names, measured, strict=True))))


def _plain(world: World, rows: int) -> tuple[float, float]:
    """The plain step's speed on a batch of `rows` rows over all ranks. Collective."""
    step = plain_step(world, rows // world.size)
    for _ in range(WARM_UP):
        step()
    return _timed(world, rows * RESIDENT, (step for _ in range(RESIDENT)))


def _products(world: World) -> float:
    """Billions of operations a second that the matrix products of all ranks reach together. Collective."""
    found = torch.tensor([products(PRODUCTS_SECONDS)], device=world.device)
    dist.all_reduce(found)
    return float(found)


def _step(trainer: Trainer, batch: Batch) -> None:
    trainer.step(batch.to(trainer.parts.world.device, non_blocking=True))
    trainer.clock.advance(trainer.config.data.batch_size)


def _steps(trainer: Trainer, batches: Iterable[Batch]) -> Iterator[Callable[[], None]]:
    """The training steps on batches; what the last ones tell is waited for."""
    for batch in batches:
        yield partial(_step, trainer, batch)
    yield trainer.telemetry.flush


def _resident(trainer: Trainer, batch: Batch, world: World) -> tuple[float, float]:
    steps = min(RESIDENT, len(trainer.parts.readers["train"]))
    return _timed(world, steps * trainer.config.data.batch_size, _steps(trainer, itertools.repeat(batch, steps)))


def _timed(world: World, rows: int, steps: Iterable[Callable[[], object]]) -> tuple[float, float]:
    """Samples a second, and a second of processor time over all ranks. Collective."""
    dist.barrier()
    seconds, processor = time.perf_counter(), time.process_time()
    for step in steps:
        step()
    dist.barrier()
    spent = torch.tensor([time.process_time() - processor], device=world.device)
    elapsed = time.perf_counter() - seconds
    dist.all_reduce(spent)
    return rows / elapsed, rows / float(spent)


if __name__ == "__main__":
    quieten()
    path, result, threads, *overrides = sys.argv[1:]
    worker(load_config(Path(path), overrides), Path(result), int(threads))
