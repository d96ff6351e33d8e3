"""What a person sees of a job while it trains."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recsys.config import Config
from recsys.training.clock import Clock

SECONDS_BETWEEN_LINES = 10.0


class Display:
    """A progress bar with samples/s, losses and weights; lines every ten seconds where the output is not a terminal."""

    def __init__(self, config: Config, console: Console) -> None:
        self.tasks = [task.name for task in config.tasks]
        self.epochs = config.train.epochs
        self.batch_size = config.data.batch_size
        self.last_step = config.train.steps
        self.console = console
        self.progress = Progress(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]} samples/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[told]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self.bar = self.progress.add_task("train", epoch="1", speed="-", told="", total=None)
        self._started, self._first_sample, self._spoke = 0.0, 0, 0.0

    def start(self, clock: Clock, steps_an_epoch: int) -> None:
        """Show the bar over all steps."""
        total = min(self.epochs * steps_an_epoch, self.last_step or self.epochs * steps_an_epoch)
        self.progress.update(self.bar, total=total, completed=clock.step)
        self.progress.start()
        self._started, self._first_sample, self._spoke = time.perf_counter(), clock.samples, time.perf_counter()

    def update(self, clock: Clock, metrics: dict[str, float]) -> None:
        """Show where the job stands after a step."""
        now = time.perf_counter()
        speed = f"{(clock.samples - self._first_sample) / max(now - self._started, 1e-9):,.0f}"
        epoch = f"{min(clock.epoch + 1, self.epochs)}/{self.epochs}"
        told = self._tell(metrics)
        self.progress.update(self.bar, completed=clock.step, epoch=epoch, speed=speed, told=told)
        if not self.console.is_terminal and now - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = now
            self.console.print(f"epoch {epoch}  step {clock.step}  {speed} samples/s  {told}", highlight=False, soft_wrap=True)

    def evaluated(self, clock: Clock, metrics: dict[str, float], best: bool) -> None:
        """Print a line for an evaluation."""
        values = "  ".join(f"{task} {metrics[f'{task}/auc']:.4f}" for task in self.tasks)
        mark = "  (best so far)" if best else ""
        self.console.print(f"step {clock.step}: AUC on valid: {values}{mark}", highlight=False)

    def stop(self) -> None:
        """Leave the bar as it is."""
        self.progress.stop()

    def _tell(self, metrics: dict[str, float]) -> str:
        if not metrics:
            return ""
        losses = " ".join(f"{task} {metrics[f'{task}/loss']:.3f}" for task in self.tasks)
        weights = " ".join(f"{metrics[f'{task}/weight']:.2f}" for task in self.tasks)
        return f"loss {losses} | weights {weights}"
