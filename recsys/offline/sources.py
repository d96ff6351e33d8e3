"""From what was typed to models and files of scores on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.config import Config
from recsys.config_file import FILE_NAME, load_config
from recsys.errors import InputError
from recsys.evaluation.compare.plan import Contender
from recsys.evaluation.comparison import Candidate
from recsys.offline.request import Scored
from recsys.offline.spec import Spec
from recsys.tracking.models import Fetched, is_named
from recsys.tracking.worker import run_id_of

Fetch = Callable[[str], Fetched]


@dataclass(frozen=True)
class Run:
    """One model, or one file of scores. config: of a model. name: as in the columns of the scores."""

    name: str
    source: str
    path: Path
    config: Config | None
    run_id: str | None

    @property
    def seed(self) -> int | None:
        """Of its training."""
        return self.config.run.seed if self.config else None

    @property
    def scored(self) -> Scored:
        """What the scoring is told of it."""
        return Scored(name=self.name, kind="model" if self.config else "scores", path=self.path.absolute())

    @property
    def checkpoint(self) -> Path | None:
        """The folder of the best checkpoint."""
        index = self.path / "checkpoints" / "index.json"
        return index.parent / json.loads(index.read_text())["best"] if self.config and index.is_file() else None


@dataclass(frozen=True)
class Entry:
    """A candidate with its runs, by ascending seed."""

    spec: Spec
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        """Of the candidate."""
        return self.spec.name

    def contender(self) -> Contender:
        """As the comparison takes it."""
        first = self.runs[0]
        config, checkpoint = first.config, first.checkpoint
        run_ids = [run.run_id for run in self.runs if run.run_id]
        candidate = Candidate(
            name=self.name,
            spec=self.spec.text,
            kind="model" if config else "scores",
            run_id=first.run_id,
            run_ids=run_ids,
            strategy=config.mto.strategy if config else None,
            architecture=config.model.architecture if config else None,
            seed=first.seed if len(self.runs) == 1 else None,
            step=int(checkpoint.name.removeprefix("step-")) if checkpoint else None,
            trained_on=config.data.train if config else [],
        )
        return Contender(candidate, tuple(run.name for run in self.runs), tuple(run.seed for run in self.runs))


def find(spec: Spec, fetch: Fetch) -> Entry:
    """Bring a candidate's runs here. Raises InputError for a source that is none, or seeds that don't make one candidate."""
    runs = sorted((_find(source, fetch) for source in spec.sources), key=lambda run: run.seed or 0)
    if len(runs) == 1:
        return Entry(spec, (_named(runs[0], spec.name),))
    _refuse_strangers(spec.name, runs)
    return Entry(spec, tuple(_named(run, f"{spec.name}.{run.seed}") for run in runs))


def _find(source: str, fetch: Fetch) -> Run:
    if is_named(source):
        found = fetch(source)
        return Run(source, source, found.folder, load_config(found.folder / FILE_NAME), found.run_id)
    path = Path(source).expanduser()
    if (path / FILE_NAME).is_file():
        return Run(source, source, path, load_config(path / FILE_NAME), run_id_of(path))
    if path.is_file() or (path.is_dir() and any(path.glob("*.parquet"))):
        return Run(source, source, path, None, None)
    if path.exists():
        raise InputError(f"candidate {source}: holds neither a run ({FILE_NAME}) nor parquet files of scores; check the path")
    raise InputError(
        f"candidate {source}: there is no such file or folder; give runs:/ID, models:/NAME@ALIAS, models:/NAME/VERSION, "
        "the folder of a run, or a parquet file of scores"
    )


def _named(run: Run, name: str) -> Run:
    return Run(name, run.source, run.path, run.config, run.run_id)


def _refuse_strangers(name: str, runs: Sequence[Run]) -> None:
    """Several runs make one candidate where they differ in their seed and in nothing else that training is about."""
    if any(run.config is None for run in runs):
        raise InputError(f"candidate {name!r}: scores in a file have no seed; give each file a NAME= of its own")
    seeds = [run.seed for run in runs]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"candidate {name!r}: two of its runs have the same run.seed ({', '.join(map(str, seeds))})")
    recipes = [_recipe(run) for run in runs]
    for run, recipe in zip(runs, recipes, strict=True):
        changed = [section for section, content in recipe.items() if content != recipes[0][section]]
        if changed:
            raise InputError(f"candidate {name!r}: {run.source} and {runs[0].source} differ in {', '.join(changed)}, not in run.seed alone")


def _recipe(run: Run) -> dict[str, object]:
    assert run.config is not None
    return run.config.model_dump(mode="json", include={"features", "tasks", "model", "mto", "train"})
