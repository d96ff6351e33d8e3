"""One study from its question to its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import emtl
from recsys.config import Config
from recsys.config_file import dump_config, load_config, overridden
from recsys.data.guard import Guard
from recsys.data.layout import layout
from recsys.data.sample import write_sample
from recsys.data.statistics import fit_statistics
from recsys.errors import InputError
from recsys.evaluation.names import check_metric
from recsys.files import write_whole
from recsys.study.child import FINAL
from recsys.study.contestant import Contestant, contestants, parse_grid, parse_strategies, titled
from recsys.study.executor import Executor, LocalProcesses
from recsys.study.findings import study_task
from recsys.study.folder import STATISTICS, StudyFolder
from recsys.study.halving import halve, shares
from recsys.study.outcome import Outcome
from recsys.study.record import Failed, Line, StudyRecord
from recsys.study.runner import Progress, Runner
from recsys.study.search import Arm, Search, is_tuned
from recsys.tracking.environment import package_versions

TRIALS = 10  # of tuned weights, where no grid says what the others may spend
SAMPLE_SEED = 0
BEGUN = {".lock", STATISTICS, "children"}  # what a folder may hold whose comparison was killed before its first child


@dataclass(frozen=True)
class Question:
    """What is to be compared, as the command says it. trials: of tuned weights; None for as many as the largest grid has settings.

    halving: the share of the training rows that the first round takes, and the factor by which it grows and the strategies shrink.
    """

    config: Config
    folder: Path
    command: str
    strategies: str
    seeds: Sequence[int]
    architectures: Sequence[str]
    grid: Sequence[str]
    search_seeds: Sequence[int]
    trials: int | None
    weights: tuple[float, float]
    halving: tuple[float, float] | None
    slots: int
    nproc: int
    keep_checkpoints: bool


@dataclass(frozen=True)
class Answer:
    """The record, and the outcomes of all children that ended well, search and all."""

    record: StudyRecord
    outcomes: list[Outcome]


class Study:
    """Runs what isn't done yet of a study: the search for settings, then what is reported."""

    def __init__(self, question: Question) -> None:
        """Raises InputError for what can't be compared."""
        self.question, self.folder = question, StudyFolder(question.folder)
        config = question.config
        check_metric(config.evaluate.metric, config.tasks)
        if not config.data.test:
            raise InputError("data.test: a comparison reports on the test split; name its files")
        strategies = parse_strategies(question.strategies)
        self.contestants = contestants(strategies, question.architectures or [config.model.architecture])
        self.grid = parse_grid(question.grid, self.contestants)
        self._refuse_what_no_training_takes()
        self.record = StudyRecord(
            name=question.folder.name,
            command=question.command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seeds=list(question.seeds),
            search_seeds=list(question.search_seeds),
            grid=self.grid,
            versions=package_versions(),
            lines=[Line(strategy=one.strategy, architecture=one.architecture, given=dict(one.given)) for one in self.contestants],
            notes=_notes(question, self.grid, self.contestants),
        )

    def _refuse_what_no_training_takes(self) -> None:
        """Values out of their range, unknown keys: before hundreds of trainings find that out. Raises InputError."""
        for one in self.contestants:
            for setting in one.settings(self.grid):
                config = overridden(self.question.config, one.child(setting, 0, FINAL).overrides(self.question.config), one.title)
                try:
                    emtl.check_options(config.mto.strategy, len(config.mto.groups or config.tasks), config.mto.options)
                except ValueError as error:
                    raise InputError(f"{titled(one.strategy, setting)}: {error}") from None

    @property
    def trials(self) -> int:
        """Of tuned weights: the budget of the strategy that has most settings, unless the question says."""
        largest = max(len(one.settings(self.grid)) for one in self.contestants)
        return self.question.trials or (largest if largest > 1 else TRIALS)

    def prepare(self, *, resume: bool) -> None:
        """Write the configuration that children start from. Raises InputError when the folder holds another study."""
        path = self.folder.path
        config = dump_config(self.question.config)
        if self.folder.config.exists():
            if not resume:
                raise InputError(f"{path}: holds a study; --resume goes on with it, --output names another folder")
            _refuse_another(self.folder.config, self.question.config)
        elif path.exists() and {entry.name for entry in path.iterdir()} - BEGUN:
            raise InputError(f"{path}: is not empty and holds no study; name another folder with --output")
        else:
            self.folder.children.mkdir(parents=True, exist_ok=True)
            self._measure()
            write_whole(self.folder.config, config)
        self.save()

    def run(self, progress: Progress, held: int, told: Callable[[Outcome], None], executor: Executor | None = None) -> Answer:
        """Run all that isn't done. Stops what runs when it is interrupted; failures are in the record."""
        question = self.question
        place = executor or LocalProcesses(question.slots, question.nproc, held)
        runner = Runner(self.folder, question.config, place, question.nproc, progress, question.keep_checkpoints, told)
        try:
            search = Search(runner.run, self.record, [study_task(task) for task in question.config.tasks], self.save)
            pairs = list(zip(self.contestants, self.record.lines, strict=True))
            arms = [Arm(one, line, setting) for one, line in pairs if not is_tuned(one) for setting in one.settings(self.grid)]
            if question.halving:
                arms = halve(search, arms, self._sample, *question.halving)
            tuned = [(one, line) for one, line in pairs if is_tuned(one)]
            lines = len({id(arm.line) for arm in arms}) + len(tuned)
            searched = search.trainings(arms) + len(tuned) * self.trials * len(question.search_seeds)
            progress.foresee(searched + lines * len(question.seeds))
            search.by_grid(arms)
            for one, line in tuned:
                search.tuned(one, line, self.grid, self.trials, question.weights)
            finals = self.record.finals()
            progress.foresee(len(finals))  # fewer than before where all trials of a line failed
            runner.run(finals)
        finally:
            self.record.failed = [Failed(child=name, line=one.line, log=str(one.log)) for name, one in runner.failures.items()]
            self.save()
        return Answer(self.record, runner.outcomes)

    def _sample(self, share: float) -> Path:
        """The file with a share of the training rows."""
        path, data = self.folder.path / "samples" / f"{share:.4g}.parquet", self.question.config.data
        if not path.exists():
            write_sample(data.train, data.store, share, SAMPLE_SEED, path)
        return path

    def _measure(self) -> None:
        """Statistics of the training files, once for all children."""
        data, path = self.question.config.data, self.folder.statistics
        if data.statistics == str(path):
            features = layout(self.question.config.features).features
            fit_statistics(data.train, features, data.threads, data.store, Guard(data.on_error, data.timeout)).save(path)

    def save(self) -> None:
        """Write the record."""
        self.record.save(self.folder.study)


def _refuse_another(path: Path, config: Config) -> None:
    before, now = load_config(path).model_dump(mode="json"), config.model_dump(mode="json")
    changed = [section for section in now if before.get(section) != now[section]]
    if changed:
        raise InputError(
            f"{path}: --resume needs the same configuration, but {', '.join(changed)} changed; name another folder with --output"
        )


def _notes(question: Question, grid: Mapping[str, Sequence[Any]], all_of: Sequence[Contestant]) -> list[str]:
    """What a reader should know of how the study was made."""
    notes = []
    if question.halving:
        rounds, factor = ", ".join(f"{share:.3g}" for share in shares(*question.halving)), question.halving[1]
        notes.append(f"successive halving: rounds on {rounds} of the training rows; after each the best 1 / {factor:g} went on")
    if set(question.seeds) & set(question.search_seeds):
        notes.append("settings were chosen with seeds that are reported too: what was chosen may owe its lead to their luck")
    if any(one.strategy == "single" for one in all_of):
        layers = getattr(question.config.model, "expert_layers", None) or getattr(question.config.model, "bottom_layers", [])
        notes.append(f"single: a model a task with tables of its own, hidden layers {layers} below a tower, as one expert has")
    return notes
