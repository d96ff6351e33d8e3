"""One training job from its configuration to its recorded result, as each rank runs it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

from recsys.config import Config
from recsys.cores import threads
from recsys.distributed import process_group
from recsys.errors import Stopped
from recsys.evaluation.names import check_metric
from recsys.tracking.access import check_access
from recsys.tracking.tracker import Tracking
from recsys.training import output as folder
from recsys.training.assembly import build_trainer
from recsys.training.cost import cost
from recsys.training.package import package_model
from recsys.training.record import schemas, write_json
from recsys.training.report import for_machines, print_metrics, with_split
from recsys.training.scores import KeptScores, check_scores_can_be_kept
from recsys.training.skipped import skipped_metrics, skipped_result
from recsys.training.stop import Stop
from recsys.training.trainer import Trainer
from recsys.training.warm_start import BEFORE, find_origin, start_warm
from recsys.training.weighing import check_strategy


def run_job(
    config: Config,
    *,
    resume: bool,
    overwrite: bool,
    json_file: Path | None,
    or_start: bool = False,
    warm_start: str | None = None,
    stop: Stop | None = None,
) -> None:
    """Train, put the best checkpoint back, evaluate it on the test split, and record everything. Collective.

    warm_start: the run to start from (see `find_origin`); without effect on a resumed job that has a checkpoint to go on from.

    resume, overwrite, or_start: what may be in the output folder (see `prepare_output`). stop: the signals that this process listens to.

    Raises InputError for a configuration or log that can't be used, JobError when a loss becomes NaN, Stopped when a rank was told to stop.
    """
    stop = stop or Stop()
    started = time.perf_counter()
    check_metric(config.evaluate.metric, config.tasks)
    check_strategy(config)
    check_scores_can_be_kept(config)
    with process_group(config.train.timeout) as world:
        torch.set_num_threads(threads(world.local_size))
        output = Path(config.run.output or "")
        goes_on = [(resume or or_start) and folder.has_checkpoint(output)]
        dist.broadcast_object_list(goes_on, src=0)
        if world.rank == 0 and config.tracking.enabled and not goes_on[0]:
            check_access(config.tracking.uri)
        origin = find_origin(warm_start, config, output, world) if warm_start and not goes_on[0] else None
        if world.rank == 0:
            folder.prepare_output(output, config, resume=resume, overwrite=overwrite, or_start=or_start)
        dist.barrier()
        resume |= goes_on[0]
        trainer = build_trainer(config, world, output, Console(quiet=world.rank > 0), resume, origin, stop)
        with _closed_at_the_end(trainer.parts.tracker):
            if origin:
                start_warm(trainer, origin)
            elif resume:
                trainer.resume()
            stop.wait_for_step()
            trainer.train()
            metrics, scores = _final_metrics(trainer, output)
            if world.rank == 0:
                _draw(trainer, output)
                _send_model(trainer, output)
        result = _result(trainer, metrics, output, time.perf_counter() - started) | {"scores": scores}
        if world.rank == 0:
            for path in [output / folder.RESULT, *([json_file] if json_file else [])]:
                write_json(path, result)
            _say_where(trainer.parts.display.console, result, config)


@contextmanager
def _closed_at_the_end(tracker: Tracking) -> Iterator[None]:
    """Ends the MLflow run with what became of the job."""
    try:
        yield
    except Stopped:
        # Whoever asked waits half a minute, a checkpoint included; what doesn't arrive is sent when the job goes on.
        tracker.close("KILLED", timeout_seconds=10)
        raise
    except BaseException as error:
        tracker.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED", timeout_seconds=20)
        raise


def _final_metrics(trainer: Trainer, output: Path) -> tuple[dict[str, float], dict[str, Any] | None]:
    """Metrics of the best checkpoint, on valid as they were measured, on test as they are measured now; and where its scores are kept."""
    scores = None
    parts, clock, tasks = trainer.parts, trainer.clock, trainer.config.tasks
    console = parts.display.console
    metrics = with_split(BEFORE, trainer.ancestry.before) if trainer.ancestry else {}
    metrics |= with_split("valid", clock.best_metrics)
    print_metrics(console, f"valid split, best checkpoint (step {clock.best_step})", clock.best_metrics, tasks)
    if "test" in parts.readers:
        trainer.restore_best()
        keeper = KeptScores(trainer.config, parts.readers["test"], parts.world, output) if trainer.config.evaluate.keep_scores else None
        on_test = trainer.evaluate("test", keeper.add if keeper else None)
        scores = keeper.write() if keeper else None
        metrics |= with_split("test", on_test)
        skipped = skipped_metrics(trainer.skipped["test"], parts.readers["test"], "test")
        parts.tracker.log_metrics(with_split("test", on_test) | skipped, clock.best_step)
        print_metrics(console, "test split, same checkpoint", on_test, tasks)
    return metrics, scores


def _result(trainer: Trainer, metrics: dict[str, float], output: Path, seconds: float) -> dict[str, Any]:
    """The result for machines; the same on every rank but for the id of the MLflow run, which rank 0 knows."""
    report = trainer.parts.tracker.close()
    return {
        "metrics": for_machines(metrics),
        "run_id": report.run_id,
        "warm_start": trainer.ancestry and trainer.ancestry.run,
        "tracking": report.message,
        "samples_per_second": trainer.pace.samples_per_second,
        "cost": cost(trainer.pace, trainer.parts.world),
        "course": trainer.recording.course(trainer.tasks),
        "seconds": seconds,
        "output": str(output),
        "best_step": trainer.clock.best_step,
        "steps": trainer.clock.step,
        "samples": trainer.clock.samples,
        "skipped": skipped_result(trainer.skipped, trainer.parts.readers),
        "world_size": trainer.parts.world.size,
    }


def _draw(trainer: Trainer, output: Path) -> None:
    if not trainer.config.run.figures:
        return
    from recsys.tracking.figures import write_figures  # matplotlib takes long to import, and one rank draws

    for path in write_figures(trainer.recording.history([task.name for task in trainer.config.tasks]), output / folder.FIGURES):
        trainer.parts.tracker.log_artifact(path, "figures")


def _send_model(trainer: Trainer, output: Path) -> None:
    if trainer.config.tracking.enabled and trainer.config.tracking.log_model:
        data = trainer.config.data
        trainer.parts.tracker.log_artifact(package_model(output, schemas(data.train, data.store, output)), folder.MODEL)


def _say_where(console: Console, result: dict[str, Any], config: Config) -> None:
    speed = f"{result['steps']} steps, {result['samples']:,} samples, {result['samples_per_second']:,.0f} samples/s"
    for split, counts in result["skipped"].items():
        for what, kinds in counts.items():
            if kinds:
                told = ", ".join(f"{number:,} ({kind})" for kind, number in kinds.items())
                console.print(f"skipped {what} of {split}, by kind of damage: {told}", highlight=False)
    console.print(f"\n{speed}, {result['seconds']:.0f} s in all, {result['world_size']} process(es)", highlight=False)
    console.print(f"checkpoints, figures and result.json are in {result['output']}", highlight=False)
    if config.tracking.enabled:
        console.print(
            f"{result['tracking']} to experiment {config.tracking.experiment} at {config.tracking.uri}", highlight=False, soft_wrap=True
        )
