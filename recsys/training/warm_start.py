"""Yesterday's model as the start of today's job: the model, optimizer and statistics of another run, under a clock of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.distributed as dist

from recsys.config import Config
from recsys.config_file import load_config
from recsys.distributed import World
from recsys.errors import InputError
from recsys.tracking.models import fetch, is_named, tracking_uri
from recsys.tracking.worker import run_id_of
from recsys.training.checkpoint import Checkpoints
from recsys.training.output import CHECKPOINTS, CONFIG
from recsys.training.report import print_metrics, with_split
from recsys.training.trainer import Trainer

FIXED = ("features", "tasks", "model")  # what the tables and parameters mean; all else may change
MOST_CHANGES = 3  # that a message names
BEFORE = "before"  # what the metrics of a model on data.train go by, before it is trained on it


@dataclass(frozen=True)
class Origin:
    """The run to start from. folder: on this machine. name: its id in MLflow, or the folder where it has none."""

    folder: Path
    name: str
    config: Config
    checkpoints: Checkpoints

    def taken_over(self, config: Config) -> tuple[list[str], list[str]]:
        """The parts of the best checkpoint that a job takes over, and a sentence on each that starts anew."""
        held, parts, notes = self.checkpoints.parts("best"), ["model"], []
        if "optimizer" in held:
            parts.append("optimizer")
        else:
            notes.append("its checkpoint has no optimizer state: that starts anew, so the first steps move every row as far as a new one")
        if config.mto != self.config.mto:
            notes.append(f"mto differs from that run's (strategy {self.config.mto.strategy}): its state starts anew")
        elif "balancer" in held:
            parts.append("balancer")
        return parts, notes


def find_origin(source: str, config: Config, output: Path, world: World) -> Origin:
    """The run that `--warm-start` names: a folder, `runs:/ID`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`. Collective.

    Raises InputError when there is none, it has no best checkpoint, or it can't be the start of such a job in folder `output`.
    """
    # An alias may move at any time, so rank 0 alone looks where it points.
    named: list[Any] = [_stable(source, config) if world.rank == 0 else None]
    dist.broadcast_object_list(named, src=0)
    first, found = os.environ.get("LOCAL_RANK", "0") == "0", None
    for its_turn in (first, not first):  # one process a machine fetches, the others find it there
        found = _locate(named[0], config) if its_turn else found
        dist.barrier()
    assert found is not None
    folder, name = found
    origin = Origin(folder, name, load_config(folder / CONFIG), Checkpoints(folder / CHECKPOINTS, world.rank))
    if "best" not in origin.checkpoints.index:
        raise InputError(f"--warm-start {source}: has no best checkpoint yet; a run has one after its first evaluation")
    _refuse_other_model(source, origin.config, config)
    if output.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise InputError(f"--warm-start {source}: lies in {output}, where the new run is to be; name another folder with --output")
    return origin


def start_warm(trainer: Trainer, origin: Origin) -> None:
    """Take the origin's model over, and tell what it is worth on the rows that it will be trained on. Collective."""
    parts, console = trainer.parts, trainer.parts.display.console
    taken, notes = origin.taken_over(trainer.config)
    ancestry = trainer.start_from(origin.name, origin.checkpoints, taken)
    console.print(f"starts from {origin.name}, best checkpoint (step {ancestry.step})", highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"warning: {note}", highlight=False, soft_wrap=True)
    if BEFORE in parts.readers:
        ancestry.before = trainer.evaluate(BEFORE)
        parts.tracker.log_metrics(with_split(BEFORE, ancestry.before), step=0)
        print_metrics(console, "data.train before training on it", ancestry.before, trainer.config.tasks)
        del parts.readers[BEFORE]


def _stable(source: str, config: Config) -> str:
    folder, name = _locate(source, config)
    return f"runs:/{name}" if is_named(source) else str(folder)


def _locate(source: str, config: Config) -> tuple[Path, str]:
    """The folder and the name of a run."""
    if is_named(source):
        found = fetch(source, tracking_uri(config.tracking.uri))
        return found.folder, found.run_id
    folder = Path(source).expanduser().absolute()
    if not (folder / CONFIG).is_file():
        raise InputError(
            f"--warm-start {source}: there is no run; give its folder (with {CONFIG}), runs:/ID, models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    return folder, run_id_of(folder) or str(folder)


def _refuse_other_model(source: str, before: Config, now: Config) -> None:
    then, today = (config.model_dump(mode="json", include=set(FIXED)) for config in (before, now))
    found = [change for section in FIXED for change in changes(section, then[section], today[section])]
    if found:
        more = f" and {len(found) - MOST_CHANGES} more" if len(found) > MOST_CHANGES else ""
        told = "; ".join(found[:MOST_CHANGES]) + more
        raise InputError(f"--warm-start {source}: {told}; it needs the features, tasks and model of its run, so train such a model anew")


def changes(where: str, before: Any, now: Any) -> Iterator[str]:
    """What differs between two parts of a configuration, by dotted key. Lists of sections go by name, and by order too."""
    ordered = isinstance(before, list)
    before, now = _by_name(before), _by_name(now)
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        if before != now:
            yield f"{where} was {_told(before)} and is {_told(now)}"
        return
    for key in [*before, *(key for key in now if key not in before)]:
        if key not in now or key not in before:
            yield f"{where}.{key} is {'gone' if key in before else 'new'}"
        else:
            yield from changes(f"{where}.{key}", before[key], now[key])
    if ordered and list(before) != list(now) and set(before) == set(now):
        yield f"{where} are in another order"


def _by_name(value: Any) -> Any:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {item.get("name", item.get("column", place)): item for place, item in enumerate(value)}
    return value


def _told(value: Any) -> str:
    return "not set" if value is None else str(value)
