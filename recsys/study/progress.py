"""What a person sees of a study while it runs."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from recsys.study.child import Child
from recsys.study.contestant import titled
from recsys.study.outcome import Outcome
from recsys.study.runner import Failure


class Display:
    """A bar over the trainings of a study, of a round while halving goes on, with the time left, and a line for each that ended."""

    def __init__(self, console: Console, slots: int) -> None:
        self._console, self._slots = console, slots
        self._seconds: list[float] = []
        self._left = 0
        self._running: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("trainings"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("trainings", total=None, told="")

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()

    def foresee(self, trainings: int) -> None:
        """The stages that follow have so many trainings together, whether done already or not."""
        self._left = trainings
        self._progress.update(self._bar, total=trainings, completed=0, told=self._told())

    def expect(self, children: int, done: int) -> None:
        """The next stage has so many children to run, and so many that are done."""
        if not self._left:
            self.foresee(children + done)
        self._left -= done
        self._progress.update(self._bar, advance=done, told=self._told())
        if done:
            self._say(f"done already: {done} of {done + children} trainings")

    def started(self, child: Child) -> None:
        """A child runs."""
        self._running[child.name] = time.monotonic()
        self._progress.update(self._bar, told=self._told())

    def finished(self, outcome: Outcome, seconds: float) -> None:
        """A child is done."""
        self._seconds.append(seconds)
        tasks = [
            name for name in outcome.metrics if name.startswith("valid/") and name.endswith("/auc") and not name.startswith("valid/mean/")
        ]
        values = "  ".join(f"{name.split('/')[1]} {outcome.metrics[name]:.4f}" for name in tasks)
        self._ended(outcome.child, f"{seconds:.0f} s, AUC on valid: {values}")

    def failed(self, failure: Failure) -> None:
        """A child ended without a result."""
        self._ended(failure.child, f"failed: {failure.line}")

    def _ended(self, child: Child, what: str) -> None:
        self._running.pop(child.name, None)
        self._left -= 1
        self._progress.update(self._bar, advance=1, told=self._told())
        left = "" if self._console.is_terminal else f"  ({self._told()})"
        stage = "" if child.stage == "final" else f", {child.stage}"
        self._say(f"{titled(child.strategy, child.setting)}, {child.architecture}, seed {child.seed}{stage}: {what}{left}")

    def _told(self) -> str:
        if not self._left:
            return "all ended"
        if not self._seconds:
            return f"{self._left} to go"
        mean = sum(self._seconds) / len(self._seconds)
        begun = sum(min(time.monotonic() - since, mean) for since in self._running.values())
        return f"{self._left} to go, about {_readable(max(0.0, self._left * mean - begun) / self._slots)} left"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _readable(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
