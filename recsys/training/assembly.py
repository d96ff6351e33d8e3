"""All that one rank trains with, put together from the configuration."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from torchrec.distributed.model_parallel import DistributedModelParallel

import emtl
from recsys.config import Config
from recsys.data.fingerprint import digest
from recsys.data.guard import Guard
from recsys.data.layout import Layout, layout
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics, fit_statistics
from recsys.distributed import World, devices_of, plan_table, wrap
from recsys.errors import InputError
from recsys.models.model import build_model
from recsys.planning.advice import check_fits
from recsys.planning.estimate import Estimate
from recsys.tracking.tracker import NullTracker, Tracker, Tracking
from recsys.training import output as folder
from recsys.training.checkpoint import Checkpoints
from recsys.training.optimizers import Optimizers
from recsys.training.progress import Display
from recsys.training.record import parameters, schemas, write_json
from recsys.training.stop import Stop
from recsys.training.trainer import Parts, Trainer
from recsys.training.unshared import Unshared
from recsys.training.warm_start import BEFORE, Origin
from recsys.training.weighing import weighing


def build_trainer(
    config: Config,
    world: World,
    output: Path,
    console: Console,
    resume: bool = False,
    origin: Origin | None = None,
    stop: Stop | None = None,
) -> Trainer:
    """Everything that one rank trains with. Collective."""
    features = layout(config.features)
    statistics = _statistics(config, features, world, output, resume, origin)
    before = origin is not None and config.evaluate.before_training
    splits = ["train", "valid", *(["test"] if config.data.test else []), *([BEFORE] if before else [])]
    readers = {split: _reader(config, features, statistics, world, split) for split in splits}
    _check_that_ranks_agree(readers, world)
    balancer = _balancer(config, world)
    estimate = check_fits(config, devices_of(world)) if world.rank == 0 else None
    model = _model(config, features, world, balancer, estimate)
    parts = Parts(
        config=config,
        world=world,
        model=model,
        balancer=balancer,
        optimizers=Optimizers(model, config.train, total_steps=config.train.epochs * len(readers["train"])),
        readers=readers,
        checkpoints=Checkpoints(output / folder.CHECKPOINTS, world.rank),
        tracker=_tracker(config, world, output, model, origin, estimate),
        display=Display(config, console),
        stop=stop or Stop(),
    )
    return Trainer(parts)


def _balancer(config: Config, world: World) -> emtl.Balancer | Unshared:
    if config.model.architecture == "single":
        return Unshared(world.balancer)
    return weighing(config, world.balancer)


def _model(
    config: Config, features: Layout, world: World, balancer: emtl.Balancer | Unshared, estimate: Estimate | None
) -> DistributedModelParallel:
    # The same seed on every rank: DDP would send rank 0's values in any case, but then the world size would decide what they are.
    torch.manual_seed(config.run.seed)
    model = build_model(features, config.tasks, config.model, fork=balancer.fork, table_device=torch.device("meta"))
    rows, kept = config.data.batch_size // world.size, estimate.kept if estimate else 0
    return wrap(model, world, config.train.sharding, config.train.sparse, config.run.seed, rows, kept)


def _statistics(config: Config, features: Layout, world: World, output: Path, resume: bool, origin: Origin | None) -> Statistics:
    """What the features learn from the training files, measured on rank 0, or that of the run that is resumed or started from."""
    path = output / folder.STATISTICS
    if world.rank == 0 and origin:
        shutil.copyfile(origin.folder / folder.STATISTICS, path)
    elif world.rank == 0 and config.data.statistics:
        Statistics.load(Path(config.data.statistics)).save(path)
    elif world.rank == 0 and not (resume and path.exists()):
        guard = Guard(config.data.on_error, config.data.timeout)
        fit_statistics(config.data.train, features.features, config.data.threads, config.data.store, guard).save(path)
    texts = [path.read_text() if world.rank == 0 else ""]
    dist.broadcast_object_list(texts, src=0)
    return Statistics.model_validate_json(texts[0])


def _reader(config: Config, features: Layout, statistics: Statistics, world: World, split: str) -> Reader:
    training = split == "train"
    return Reader(
        config.data.train if split == BEFORE else getattr(config.data, split),
        config.data,
        features,
        config.tasks,
        statistics,
        batch_size=config.data.batch_size if training else config.evaluate.batch_size,
        shuffle=training,
        seed=config.run.seed,
        rank=world.rank,
        world_size=world.size,
    )


def _check_that_ranks_agree(readers: dict[str, Reader], world: World) -> None:
    """Ranks that planned different files would wait for each other for ever. Collective; raises InputError."""
    for split, reader in readers.items():
        plans: list[Any] = [None] * world.size
        dist.all_gather_object(plans, (digest(reader.fingerprint), reader.rows))
        for rank, (found, rows) in enumerate(plans):
            if found != plans[0][0]:
                raise InputError(
                    f"data.{split}: rank 0 found {plans[0][1]:,} rows and rank {rank} {rows:,}, or other files; "
                    "every rank must see the same finished files"
                )


def _tracker(
    config: Config, world: World, output: Path, model: DistributedModelParallel, origin: Origin | None, estimate: Estimate | None
) -> Tracking:
    """MLflow on rank 0, silence elsewhere; told at once what is known before the first step."""
    if estimate is None:  # ranks above 0
        return NullTracker()
    write_json(output / folder.PLAN, plan_table(model.plan))
    write_json(output / folder.MEMORY, estimate.to_json())
    if not config.tracking.enabled:
        return NullTracker()
    tracker = Tracker(
        uri=config.tracking.uri,
        experiment=config.tracking.experiment,
        run_name=config.run.name,
        output=output,
        resume=True,  # an earlier attempt in this folder has its run already, also where it left no checkpoint
        tags={
            "mlflow.source.name": "recsys train",
            "strategy": config.mto.strategy,
            "architecture": config.model.architecture,
            "device": world.device.type,
        }
        | ({"warm_start": origin.name} if origin else {}),
    )
    # A run that goes on has its parameters, and MLflow refuses to change one, such as train.steps.
    if not tracker.continues:
        tracker.log_params(parameters(config))
    for path in [
        output / folder.CONFIG,
        output / folder.STATISTICS,
        output / folder.PLAN,
        output / folder.MEMORY,
        *schemas(config.data.train, config.data.store, output),
    ]:
        tracker.log_artifact(path)
    tracker.log_metrics(estimate.metrics(), 0)
    return tracker
