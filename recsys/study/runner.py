"""Running the children of a study, none of them twice."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recsys.config import Config
from recsys.study.child import Child
from recsys.study.executor import Executor, Running, Work
from recsys.study.folder import StudyFolder
from recsys.study.outcome import Outcome
from recsys.training.output import CHECKPOINTS, INDEX, has_checkpoint
from recsys.training.record import write_json

PAUSE = 0.2  # seconds between looks at the children
GRACE = 60.0  # seconds that children have to save a checkpoint when they are stopped


@dataclass(frozen=True)
class Failure:
    """A child that ended without a result: in one line, and where its log is."""

    child: Child
    line: str
    log: Path


class Progress(Protocol):
    """What is told while children run."""

    def foresee(self, trainings: int) -> None: ...
    def expect(self, children: int, done: int) -> None: ...
    def started(self, child: Child) -> None: ...
    def finished(self, outcome: Outcome, seconds: float) -> None: ...
    def failed(self, failure: Failure) -> None: ...


class Runner:
    """Runs children of one study in the slots of a place.

    A child is done exactly when its `result.json` is there. One that was begun goes on from its checkpoint where it has one, and starts
    anew where not. One that fails is noted in `failures`, not tried again by this runner, and doesn't stop the rest.
    """

    def __init__(
        self,
        folder: StudyFolder,
        config: Config,
        executor: Executor,
        nproc: int,
        progress: Progress,
        keep_checkpoints: bool,
        told: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """told: is given each outcome as soon as it is there, also of children that were done before."""
        self.failures: dict[str, Failure] = {}
        self._folder, self._config, self._executor, self._nproc = folder, config, executor, nproc
        self._progress, self._keep, self._told = progress, keep_checkpoints, told
        self._outcomes: dict[str, Outcome] = {}

    def run(self, children: Sequence[Child]) -> list[Outcome]:
        """The outcomes of those children that end well, in the given order. Stops what runs when it is interrupted."""
        wanted = {child.name: child for child in children}
        for name, child in wanted.items():
            if self._folder.is_done(name):
                self._take(child)
        waiting = [child for name, child in wanted.items() if name not in self._outcomes and name not in self.failures]
        self._progress.expect(len(waiting), sum(name in self._outcomes for name in wanted))
        self._run_all(waiting)
        return [self._outcomes[name] for name in wanted if name in self._outcomes]

    @property
    def outcomes(self) -> list[Outcome]:
        """Of all children that were run or found done."""
        return list(self._outcomes.values())

    def command(self, child: Child) -> list[str]:
        """What a person would type to repeat a child; it starts anew in an empty folder."""
        settings = [f"--set={override}" for override in child.overrides(self._config)]
        return ["train", str(self._folder.config), *settings, f"--output={self._folder.run(child.name)}", f"--nproc={self._nproc}"]

    def _run_all(self, waiting: list[Child]) -> None:
        slots: dict[int, tuple[Child, Running, float]] = {}
        try:
            while waiting or slots:
                for slot in range(self._executor.slots):
                    if slot not in slots and waiting:
                        child = waiting.pop(0)
                        slots[slot] = (child, self._start(child, slot), time.monotonic())
                time.sleep(PAUSE)
                for slot, (child, running, since) in list(slots.items()):
                    if (code := running.poll()) is not None:
                        del slots[slot]
                        self._ended(child, code, time.monotonic() - since)
        finally:
            _stop([running for _, running, _ in slots.values()])

    def _start(self, child: Child, slot: int) -> Running:
        name, arguments = child.name, self.command(child)
        write_json(self._folder.about(name), {"child": child.to_json(), "command": shlex.join(["recsys", *arguments])})
        run = self._folder.run(name)
        begun = has_checkpoint(run)
        if not begun:
            shutil.rmtree(run, ignore_errors=True)
        self._progress.started(child)
        work = Work(name, [sys.executable, "-m", "pipelines", *arguments, *["--resume"] * begun], self._folder.log(name))
        return self._executor.start(work, slot)

    def _ended(self, child: Child, code: int, seconds: float) -> None:
        if self._folder.is_done(child.name):
            self._progress.finished(self._take(child), seconds)
            return
        log = self._folder.log(child.name)
        self.failures[child.name] = failure = Failure(child, _last_words(log, code), log)
        self._progress.failed(failure)

    def _take(self, child: Child) -> Outcome:
        if child.name not in self._outcomes:
            run = self._folder.run(child.name)
            self._outcomes[child.name] = outcome = Outcome.read(child, run)
            _prune(run / CHECKPOINTS, self._keep)
            self._told(outcome)
        return self._outcomes[child.name]


def _prune(checkpoints: Path, keep_best: bool) -> None:
    """Leave the best checkpoint alone, or none."""
    index = checkpoints / INDEX
    if not index.exists():
        return
    best = json.loads(index.read_text())["best"]
    for path in checkpoints.iterdir():
        if path.is_dir() and not (keep_best and path.name == best):
            shutil.rmtree(path)
    if keep_best:
        write_json(index, {"best": best})
    else:
        shutil.rmtree(checkpoints)


def _stop(running: Sequence[Running]) -> None:
    """Ask all to end, and end those that don't."""
    for child in running:
        child.stop()
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline and any(child.poll() is None for child in running):
        time.sleep(PAUSE)
    for child in running:
        child.kill()


def _last_words(log: Path, code: int) -> str:
    """The line in which a child said why it ended, or its last one."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    told = [line for line in lines if line.startswith(("error:", "failed:", "stopped:"))]
    ended = f"killed by signal {-code} (out of memory?)" if code < 0 else f"exit code {code}"
    last = (told or lines or ["it said nothing"])[-1]
    return last if told and code > 0 else f"{ended}: {last}"
