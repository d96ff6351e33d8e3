"""What reading costs: parquet -> Batch against pyarrow decoding the same columns, and the memory that it takes."""

from __future__ import annotations

import bisect
import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from recsys.benchmarks.machine import machine, peak_memory
from recsys.benchmarks.made_logs import document, repeated, wide_features, wide_log
from recsys.config import Config
from recsys.config_file import parse_config
from recsys.data.decode import BATCH_ROWS
from recsys.data.layout import label_needs, layout
from recsys.data.reader import Reader
from recsys.data.source import Source, open_source
from recsys.data.statistics import Statistics, fit_statistics
from recsys.memory import keep_freed_memory
from recsys.quiet import quieten


@dataclass(frozen=True)
class Settings:
    """config: a job whose training split is read; None for the wide log of `rows` rows, kept in `folder`.

    threads: of the reader and of the decoder. repeats: rounds, in each of which both read the whole split once. memory_rows: about how
    many rows the memory is measured with, of the split's files as often as it takes.
    """

    config: Config | None
    times: int
    rows: int
    folder: Path
    threads: int
    repeats: int
    memory_rows: tuple[int, ...]


@dataclass(frozen=True)
class Pass:
    """One pass over all rows: rows a second, and rows a second of processor time."""

    speed: float
    cpu_speed: float


@dataclass(frozen=True)
class Memory:
    """The most memory that a process held for an epoch of so many rows, in MiB; start: before its first batch."""

    rows: int
    start: float
    peak: float


def run(settings: Settings, tell: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Speeds, ratios, memory and conditions, fit for JSON. `tell` hears what is done."""
    before = machine()
    keep_freed_memory()  # as a job does
    config = settings.config or parse_config(document(wide_log(settings.folder, settings.rows, tell), wide_features()), "the wide log")
    config = _reading(config, threads=settings.threads)
    tell("statistics of the features")
    learned = fit_statistics(config.data.train, layout(config.features).features, settings.threads, config.data.store)
    source = _source(config)
    with tempfile.TemporaryDirectory() as folder:
        files = repeated([file.path for file in source.files], settings.times, Path(folder) / "log")
        rounds = _rounds(settings, _reading(config, train=files), learned, tell)
    return {
        "log": ", ".join(config.data.train),
        "times": settings.times,
        "rows": source.rows * settings.times,
        "columns": len(_columns(config)),
        "threads": settings.threads,
        "decoder": [asdict(done["decoder"]) for done in rounds],
        "reader": [asdict(done["reader"]) for done in rounds],
        "ratio": _spread([done["reader"].speed / done["decoder"].speed for done in rounds]),
        "cpu_ratio": _spread([done["reader"].cpu_speed / done["decoder"].cpu_speed for done in rounds]),
        "memory": [asdict(memory) for memory in _curve(settings, config, learned, source, tell)],
        "conditions": before | {"load_after": machine()["load"]},
    }


def _rounds(settings: Settings, config: Config, learned: Statistics, tell: Callable[[str], None]) -> list[dict[str, Pass]]:
    """Both passes of each round, whichever was second before going first."""
    source = _source(config)
    works = {"reader": lambda: _read(config, learned), "decoder": lambda: _decode(source, config)}
    with closing(_reader(config, learned).epoch(0)) as batches:
        next(batches)  # what is imported at the first batch
    rounds = []
    for number in range(settings.repeats):
        done = {}
        for name in works if number % 2 else reversed(works):
            tell(f"round {number + 1} of {settings.repeats}: {name}")
            done[name] = _timed(works[name], source.rows)
        rounds.append(done)
    return rounds


def _reading(config: Config, **changes: Any) -> Config:
    """The configuration with other keys of `data`."""
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _source(config: Config) -> Source:
    return open_source(config.data.train, [*layout(config.features).needs, *label_needs(config.tasks, config.data.weight)])


def _timed(work: Callable[[], int], rows: int) -> Pass:
    seconds, processor = time.perf_counter(), time.process_time()
    read = work()
    if read != rows:
        raise RuntimeError(f"{read:,} of {rows:,} rows were read")
    return Pass(rows / (time.perf_counter() - seconds), rows / (time.process_time() - processor))


def _columns(config: Config) -> list[str]:
    needs = [*layout(config.features).needs, *label_needs(config.tasks, config.data.weight)]
    return list(dict.fromkeys(need.column for need in needs))


def _decode(source: Source, config: Config) -> int:
    """Rows that pyarrow decodes: the same columns, strings as dictionaries as in the reader, in the order of the files."""
    pa.set_cpu_count(config.data.threads)
    strings = ds.ParquetReadOptions(dictionary_columns=source.files[0].strings)
    files, filesystem = [file.path for file in source.files], source.files[0].filesystem
    dataset = ds.dataset(files, filesystem=filesystem, format=ds.ParquetFileFormat(read_options=strings))
    scanner = dataset.scanner(columns=_columns(config), batch_size=BATCH_ROWS, use_threads=True)
    return sum(batch.num_rows for batch in scanner.to_batches())


def _read(config: Config, learned: Statistics) -> int:
    """Rows of the batches of one shuffled epoch."""
    return sum(len(batch.weights) for batch in _reader(config, learned).epoch(0))


def _reader(config: Config, learned: Statistics) -> Reader:
    return Reader(config.data.train, config.data, layout(config.features), config.tasks, learned, seed=config.run.seed)


def _curve(settings: Settings, config: Config, learned: Statistics, source: Source, tell: Callable[[str], None]) -> list[Memory]:
    """Peak memory over logs of more and more rows; each in a fresh process, for memory once held isn't always given back."""
    curve = []
    for rows in settings.memory_rows:
        times = -(-rows // source.rows)
        ends = list(itertools.accumulate(times * [sum(file.groups) for file in source.files]))
        with tempfile.TemporaryDirectory() as folder:
            links = repeated([file.path for file in source.files], times, Path(folder) / "log")
            tell(f"memory of about {rows:,} rows")
            curve.append(_in_a_fresh_process(config, learned, links[: bisect.bisect_left(ends, rows) + 1]))
    return curve


def _in_a_fresh_process(config: Config, learned: Statistics, files: Sequence[str]) -> Memory:
    with multiprocessing.get_context("spawn").Pool(1, quieten) as pool:
        return pool.apply(_memory, (_reading(config, train=list(files)), learned))


def _memory(config: Config, learned: Statistics) -> Memory:
    keep_freed_memory()
    start = peak_memory()
    rows = _read(config, learned)
    return Memory(rows, start, peak_memory())


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}
