"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor
from torchrec.distributed.model_parallel import DistributedModelParallel
from torchrec.distributed.utils import none_throws

import emtl
from recsys.config import Config
from recsys.data.batch import Batch
from recsys.data.fingerprint import difference
from recsys.data.reader import Reader
from recsys.distributed import World
from recsys.errors import InputError, Stopped
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.names import higher_is_better
from recsys.models.managed import contest
from recsys.models.tasks import label_weight, starting_outputs, task_losses
from recsys.tracking.tracker import Tracking
from recsys.training.ancestry import Ancestry
from recsys.training.checkpoint import Checkpoints
from recsys.training.clock import Clock
from recsys.training.cost import Pace
from recsys.training.optimizers import Optimizers
from recsys.training.progress import Display
from recsys.training.recording import Recording
from recsys.training.skipped import skipped_metrics, skipped_rows
from recsys.training.stop import Stop
from recsys.training.telemetry import Telemetry
from recsys.training.unshared import Unshared

PARTS = ("model", "optimizer", "balancer")  # of a checkpoint
LOG_EVERY = 10  # steps between points of the step metrics: enough for a curve, few enough for any tracking server
EQUITY_AT = LOG_EVERY - 2  # step of the ten whose Gram matrix is told: values of a GPU arrive a step later, which is when they are logged


@dataclass
class Parts:
    """What a trainer works with; built by `recsys.training.assembly`."""

    config: Config
    world: World
    model: DistributedModelParallel
    balancer: emtl.Balancer | Unshared
    optimizers: Optimizers
    readers: dict[str, Reader]
    checkpoints: Checkpoints
    tracker: Tracking
    display: Display
    stop: Stop


class Trainer:
    """Trains one job on one rank: steps, evaluations, checkpoints, until the configured end."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.config = parts.config
        self.clock = Clock()
        self.recording = Recording()
        self.ancestry: Ancestry | None = None
        self.tasks = [task.name for task in parts.config.tasks]
        self.telemetry = Telemetry(self.tasks, window=LOG_EVERY)
        self.pace = Pace()
        self.skipped: dict[str, dict[str, int]] = {}
        self._last_evaluation = -1
        self._untrained = True

    def train(self) -> None:
        """Run from where the clock stands to the end.

        Raises Stopped, after saving a checkpoint, when any rank was told to stop: in the same step on all of them.
        """
        self.parts.display.start(self.clock, len(self.parts.readers["train"]))
        if self._evaluation_missing():
            self._evaluate_and_save()
        while not self.clock.finished(self.config):
            self._train_epoch()
        if self._last_evaluation != self.clock.step:
            self._evaluate_and_save()
        self.parts.display.stop()

    def resume(self) -> None:
        """Continue from the latest checkpoint.

        Raises InputError when it was made in the middle of an epoch whose rows would now come in another order. Between epochs no row is
        half-way, and the files may have changed.
        """
        progress = self._load(self.parts.checkpoints, "latest")
        self.clock = Clock(**progress["clock"])
        changed = difference(progress["data"], self.parts.readers["train"].fingerprint) if "data" in progress else None
        if changed and self.clock.step_in_epoch:
            raise InputError(
                f"data.train: {changed} since the checkpoint in the middle of an epoch, so its remaining rows can't be told; "
                "undo that, or train without --resume in another folder"
            )
        self.recording = Recording(**progress["recording"])
        self.telemetry.from_json(progress.get("telemetry", {"recent": [], "told": {}}))
        if self.recording.evaluations:
            self._last_evaluation = self.recording.evaluations[-1][0]
        self.pace = Pace(**progress.get("pace", {}))
        self.ancestry = Ancestry(**progress["ancestry"]) if progress.get("ancestry") else None

    def start_from(self, run: str, checkpoints: Checkpoints, parts: Sequence[str]) -> Ancestry:
        """Take over `parts` of the best checkpoint of another run. The clock, and with it the learning rates' course, starts anew."""
        self.ancestry = Ancestry.after(run, self._load(checkpoints, "best", parts))
        return self.ancestry

    def restore_best(self) -> None:
        """Put the best checkpoint's model back, to evaluate it."""
        self._load(self.parts.checkpoints, "best")

    def step(self, batch: Batch) -> None:
        """One step on this rank's rows: forward, one backward through the fork (which updates the tables), dense update."""
        parts, step = self.parts, self.clock.step
        torch.manual_seed(_step_seed(self.config.run.seed, parts.world.rank, step))
        parts.optimizers.set_learning_rates(step)
        told = step % LOG_EVERY == EQUITY_AT
        # In scope `parameters` the Gram matrix costs K backwards, so only a strategy that needs it has it formed.
        parts.balancer.observe = told and self.config.mto.scope == "representation"
        total = label_weight(batch, parts.world.group, parts.stop.asked)
        if self._untrained:
            parts.model.module.start_at(starting_outputs(batch, self.config.tasks, total.wait(), parts.world.group))
        self._untrained = False
        with torch.autocast(parts.world.device.type, torch.bfloat16, enabled=self.config.train.precision == "bfloat16"):
            outputs = parts.model(batch)
        losses = task_losses(outputs, batch, self.config.tasks, total.wait(), parts.world.size)
        parts.balancer.total(losses, *self._compared()).backward()
        balancer = parts.balancer
        gram, failures = (balancer.gram, balancer.failures()) if told else (None, None)
        self.telemetry.push(step, none_throws(balancer.losses), none_throws(balancer.weights), gram, failures, total.stops())
        parts.optimizers.step()

    def _compared(self) -> tuple[list[Tensor], list[Tensor]] | tuple[()]:
        """What scope `parameters` takes gradients at: the shared parameters and the embeddings of this step."""
        if self.config.mto.scope != "parameters":
            return ()
        model = self.parts.model.module
        return model.shared_parameters(), model.shared_activations()

    def _train_epoch(self) -> None:
        clock, reader = self.clock, self.parts.readers["train"]
        batches = reader.epoch(clock.epoch, start_step=clock.step_in_epoch)
        self.pace.start()
        for batch in batches:
            self.step(batch.to(self.parts.world.device, non_blocking=True))
            rows = min(self.config.data.batch_size, reader.rows - clock.step_in_epoch * self.config.data.batch_size)
            clock.advance(rows)
            self.pace.count(rows)
            self._tell()
            if self.telemetry.stop:
                self._save_and_stop()
            if self._interrupt_due():
                self.pace.stop()
                self._interrupt()
                self.pace.start()
            if clock.finished(self.config):
                break
        else:
            self._count_skipped()
            clock.end_epoch()
        batches.close()
        self.pace.stop()
        if clock.step_in_epoch == 0 and self.config.evaluate.every is None:
            self._evaluate_and_save()

    def _tell(self) -> None:
        metrics = self.telemetry.metrics()
        self.parts.display.update(self.clock, metrics)
        if self.clock.step % LOG_EVERY == 0:
            self.parts.tracker.log_metrics(metrics, self.clock.step)
            self.recording.note_step(self.clock.step, self.tasks, metrics)

    def _interrupt_due(self) -> bool:
        every = (self.config.evaluate.every, self.config.train.checkpoint_every)
        return any(steps is not None and self.clock.step % steps == 0 for steps in every)

    def _interrupt(self) -> None:
        """Evaluate or save in the middle of an epoch."""
        every = self.config.evaluate.every
        if every is not None and self.clock.step % every == 0:
            self._evaluate_and_save()
        else:
            self._save(best=False)

    def _evaluation_missing(self) -> bool:
        """Whether an evaluation was due where the clock stands, and the job was stopped before it was done."""
        clock, every = self.clock, self.config.evaluate.every
        due = clock.step_in_epoch == 0 if every is None else clock.step % every == 0
        return due and clock.step > 0 and self._last_evaluation != clock.step

    def _save_and_stop(self) -> NoReturn:
        self._save(best=False)
        self.parts.display.stop()
        raise Stopped(f"{self.parts.stop.told} at step {self.clock.step}, whose checkpoint is saved; --resume goes on from it")

    def _evaluate_and_save(self) -> None:
        self.telemetry.flush()
        self._count_skipped()
        contest(self.parts.model)
        try:
            metrics = self.evaluate("valid")
        except Stopped:
            self._save_and_stop()
        self._last_evaluation = self.clock.step
        self.recording.note_evaluation(self.clock.step, metrics)
        watched = self.config.evaluate.metric
        best = self.clock.record(metrics[watched], metrics, higher_is_better(watched))
        self.parts.tracker.log_metrics(metrics | self._throughput() | self._skipped_metrics(), self.clock.step)
        self.parts.display.evaluated(self.clock, metrics, best)
        self._save(best=best)

    def _throughput(self) -> dict[str, float]:
        return {"samples": float(self.clock.samples), "samples_per_second": self.pace.samples_per_second}

    def evaluate(self, split: str, keep: Callable[[int, Tensor], None] | None = None) -> dict[str, float]:
        """The metrics of the model as it is; what was skipped of the split is in `skipped`. Collective.

        keep: is given each step with this rank's (B, K) predictions. Raises Stopped when any rank was told to stop.
        """
        reader = self.parts.readers[split]
        metrics = evaluate(self.parts.model, reader, self.config.tasks, self.parts.world, keep, lambda: self.parts.stop.asked)
        self.skipped[split] = skipped_rows(reader, self.parts.world)
        reader.check_budget(sum(self.skipped[split].values()))
        return metrics

    def _count_skipped(self) -> None:
        """Bring the clock to the rows that were really trained on. Collective."""
        reader = self.parts.readers["train"]
        rows = skipped_rows(reader, self.parts.world)
        self.clock.skip(rows)
        self.pace.samples -= sum(rows.values())
        reader.check_budget(self.clock.skipped_in_epoch)
        self.skipped["train"] = self.clock.skipped

    def _skipped_metrics(self) -> dict[str, float]:
        readers = self.parts.readers
        return skipped_metrics(self.clock.skipped, readers["train"]) | skipped_metrics(self.skipped["valid"], readers["valid"], "valid")

    def _save(self, *, best: bool) -> None:
        self.telemetry.flush()
        self._count_skipped()
        contest(self.parts.model)
        progress = {
            "clock": self.clock.to_json(),
            "data": self.parts.readers["train"].fingerprint,
            "recording": self.recording.to_json(),
            "telemetry": self.telemetry.to_json(),
            "pace": self.pace.to_json(),
            "ancestry": self.ancestry and self.ancestry.to_json(),
        }
        self.parts.checkpoints.save(self._state(), progress, best=best)

    def _load(self, checkpoints: Checkpoints, which: Literal["latest", "best"], parts: Sequence[str] = PARTS) -> dict[str, Any]:
        if "optimizer" in parts:
            self.parts.optimizers.create_state()
        state = {name: part for name, part in self._state().items() if name in parts}
        progress = checkpoints.load(which, state)
        self.parts.model.load_state_dict(state["model"])
        if "optimizer" in parts:
            self.parts.optimizers.combined.load_state_dict(state["optimizer"])
        if "balancer" in parts:
            self.parts.balancer.load_state_dict(state.get("balancer", {}))
        self._untrained = False
        return progress

    def _state(self) -> dict[str, Any]:
        parts = {
            "model": self.parts.model.state_dict(),
            "optimizer": self.parts.optimizers.combined.state_dict(),
            "balancer": self.parts.balancer.state_dict(),
        }
        # A strategy may have no state, and an empty part can be saved but not loaded.
        return {name: part for name, part in parts.items() if part}


def _step_seed(seed: int, rank: int, step: int) -> int:
    """A seed of its own for every rank and step, so that a resumed job draws what an unbroken one would."""
    return (seed * 1_000_003 + rank) * 1_000_000_007 + step & 0x7FFF_FFFF_FFFF_FFFF
