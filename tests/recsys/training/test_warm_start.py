"""A job that starts from another run's model goes on with all of it, and says what that was worth on the new log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from job_cases import DEMO, write_job
from mlflow import MlflowClient
from offline_jobs import command
from rich.console import Console
from sklearn.metrics import roc_auc_score
from test_resume import tensors

from recsys.config import Config
from recsys.config_file import dump_config, load_config, parse_config
from recsys.data.layout import layout
from recsys.data.reader import Reader
from recsys.data.statistics import Statistics
from recsys.distributed import World, process_group
from recsys.errors import InputError
from recsys.models.tasks import predict
from recsys.offline.model import load_trained
from recsys.offline.sources import Run
from recsys.offline.trust import trained_files
from recsys.training.assembly import build_trainer
from recsys.training.clock import Clock
from recsys.training.job import run_job
from recsys.training.output import prepare_output
from recsys.training.trainer import Trainer
from recsys.training.warm_start import FIXED, changes, find_origin, start_warm

# A learning rate that is the same in every step, and no dropout: nothing hangs on the clock.
SECTIONS: dict[str, dict[str, Any]] = {"train": {"epochs": 1, "dense": {"weight_decay": 0.01}}, "tracking": {"enabled": True}}
USER = {"encoding": "managed", "eviction": "distance_lfu", "eviction_every": 3, "buckets": 60}
MANAGED = [f"features.user_id.{key}={value}" for key, value in USER.items()]
YESTERDAY, TODAY = "<= 2024-01-02", "in (2024-01-03, 2024-01-04)"


def days(log: Path, condition: str) -> str:
    return f"data.train={log}/split=train where date {condition}"


@pytest.fixture(scope="module")
def job(small_log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_job(small_log, tmp_path_factory.mktemp("warm"), **SECTIONS)


@pytest.fixture(scope="module")
def yesterday(job: Path, small_log: Path) -> Path:
    """The folder of a finished run on the log's first two days."""
    config = load_config(job, [days(small_log, YESTERDAY)])
    run_job(config, resume=False, overwrite=False, json_file=None)
    return job.parent / "run"


@pytest.fixture
def today(job: Path, small_log: Path, tmp_path: Path) -> Config:
    """The job on the two days after that."""
    settings = ["tracking.enabled=false", f"run.output={tmp_path / 'today'}", days(small_log, TODAY)]
    return load_config(job, [*settings])


@pytest.fixture
def world(yesterday: Path) -> Iterator[World]:
    with process_group() as group:
        yield group


def rewritten(config: Config) -> Path:
    path = Path(f"{config.run.output}.yaml")
    path.write_text(dump_config(config))
    return path


def warm_trainer(source: Path | str, config: Config, world: World) -> Trainer:
    output = Path(config.run.output or "")
    origin = find_origin(str(source), config, output, world)
    output.mkdir(exist_ok=True)
    trainer = build_trainer(config, world, output, Console(quiet=True), origin=origin)
    start_warm(trainer, origin)
    return trainer


def same_state(one: Trainer, other: Trainer) -> None:
    expected, found = tensors(one._state()), tensors(other._state())
    assert expected.keys() == found.keys() and any("momentum" in name or "exp_avg" in name for name in expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), f"{name} differs"


@pytest.mark.parametrize("settings", [[], MANAGED], ids=["fixed", "managed"])
def test_a_warm_start_is_bit_for_bit_one_optimizer_over_both_logs(
    job: Path, small_log: Path, today: Config, world: World, tmp_path: Path, settings: list[str]
) -> None:
    """The reference trains both logs with the same objects in one process, and neither saves nor loads between them."""
    output = tmp_path / "reference"
    config = load_config(job, [*settings, "tracking.enabled=false", f"run.output={output}", days(small_log, YESTERDAY)])
    today = load_config(rewritten(today), settings)
    prepare_output(output, config, resume=False, overwrite=False)
    reference = build_trainer(config, world, output, Console(quiet=True))
    reference.train()
    warm = warm_trainer(output, today, world)
    statistics = Statistics.load(output / "statistics.json")
    assert statistics == Statistics.load(Path(today.run.output or "") / "statistics.json")
    reader = Reader(today.data.train, today.data, layout(today.features), today.tasks, statistics, seed=today.run.seed)
    reference.parts.readers["train"], reference.clock = reader, Clock()
    same_state(reference, warm)
    start = tensors(warm._state())
    reference.train()
    warm.train()
    same_state(reference, warm)
    moved = {name for name, tensor in tensors(warm._state()).items() if not torch.equal(tensor, start[name])}
    assert any("exp_avg" in name for name in moved) and any("raw_ids" in name for name in moved) is bool(settings)
    assert (warm.clock.step, warm.clock.samples) == (len(reader), reader.rows)


def test_the_new_log_is_scored_before_it_is_trained_on(yesterday: Path, today: Config, world: World) -> None:
    trainer = warm_trainer(yesterday, today, world)
    model = load_trained(yesterday, world)
    reader = Reader(today.data.train, today.data, model.features, today.tasks, model.statistics, shuffle=False)
    with torch.no_grad():
        batches = [(predict(model.model(batch), today.tasks), batch.labels, batch.masks) for batch in reader.epoch(0)]
    scores, labels, masks = (torch.cat(part).numpy() for part in zip(*batches, strict=True))
    assert trainer.ancestry is not None
    before = trainer.ancestry.before
    for task, name in enumerate(["ctr", "cvr"]):
        rows = masks[:, task]
        assert before[f"{name}/auc"] == pytest.approx(roc_auc_score(labels[rows, task], scores[rows, task]), abs=1e-9)
        assert before[f"{name}/rows"] == rows.sum()
    assert "before" not in trainer.parts.readers


def test_a_warm_started_job_resumes_and_remembers_where_it_comes_from(yesterday: Path, today: Config, world: World) -> None:
    whole = warm_trainer(yesterday, today, world)
    whole.train()
    output = Path(today.run.output or "")
    first = warm_trainer(yesterday, today.model_copy(update={"train": today.train.model_copy(update={"steps": 9})}), world)
    first.train()
    second = build_trainer(today, world, output, Console(quiet=True), resume=True)
    second.resume()
    assert second.ancestry == first.ancestry == whole.ancestry and second.clock.step == 9
    second.train()
    same_state(whole, second)
    files = trained_files(Run("today", "", output, today, None))
    assert len(files) == 4 and set(trained_files(Run("yesterday", "", yesterday, today, None))) < set(files)


def test_two_processes_do_what_one_does_from_mlflow_to_mlflow(
    job: Path, small_log: Path, yesterday: Path, today: Config, tmp_path: Path
) -> None:
    """From the model that MLflow holds, with two processes and another plan, as a person starts it."""
    run_id = json.loads((yesterday / "run.json").read_text())["run_id"]
    output, settings = tmp_path / "two", [days(small_log, TODAY), "train.sharding.default=row_wise"]
    options = [f"--set={setting}" for setting in settings]
    done = command("train", str(job), *options, "--output", str(output), "--nproc", "2", "--warm-start", f"runs:/{run_id}")
    assert done.returncode == 0, done.stderr
    assert f"starts from {run_id}, best checkpoint (step 25)" in done.stdout and "data.train before training on it" in done.stdout
    result = json.loads((output / "result.json").read_text())
    alone = tmp_path / "alone.json"
    run_job(today, resume=False, overwrite=False, json_file=alone, warm_start=str(yesterday))
    expected = json.loads(alone.read_text())
    assert expected["warm_start"] == result["warm_start"] == run_id
    for name, value in expected["metrics"].items():
        assert result["metrics"][name] == pytest.approx(value, rel=1e-5 if name.startswith("before/") else 1e-3), name
    run = MlflowClient(f"sqlite:///{job.parent}/mlflow.db").get_run(result["run_id"])
    assert run.data.tags["warm_start"] == run_id != run.info.run_id
    assert run.data.metrics["before/ctr/auc"] == result["metrics"]["before/ctr/auc"]
    run_job(today, resume=True, overwrite=False, json_file=alone, warm_start="runs:/gone")
    assert json.loads(alone.read_text())["metrics"] == expected["metrics"], "what is resumed doesn't start again"


def test_a_changed_strategy_or_a_checkpoint_without_optimizer_is_told(yesterday: Path, today: Config, world: World, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(yesterday, plain)
    origin = find_origin(str(plain), today, tmp_path / "today", world)
    assert origin.taken_over(today) == (["model", "optimizer", "balancer"], [])
    other = parse_config(today.model_dump(mode="json") | {"mto": {"strategy": "excess"}}, "test")
    parts, notes = origin.taken_over(other)
    assert parts == ["model", "optimizer"] and notes == ["mto differs from that run's (strategy emtl): its state starts anew"]
    trainer = build_trainer(today, world, tmp_path, Console(quiet=True), origin=origin)
    trainer._load(origin.checkpoints, "best")
    state = trainer._state()
    del state["optimizer"]
    origin.checkpoints.save(state, {"clock": Clock(step=25).to_json()}, best=True)
    parts, notes = origin.taken_over(today)
    assert parts == ["model", "balancer"] and len(notes) == 1 and notes[0].startswith("its checkpoint has no optimizer state")
    bare = warm_trainer(plain, today, world)
    expected, found = tensors(state["model"]), tensors(bare._state()["model"])
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    bare.train()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["features.age.clip=3"], "features.age.clip was not set and is 3.0"),
        (["features.item_id.dimension=8", "model.experts=3"], "features.item_id.dimension was 16 and is 8; model.experts was 2 and is 3"),
        (["tasks.cvr.weight=2"], "tasks.cvr.weight was 1.0 and is 2.0"),
        (["features.history.items.2.buckets=3"], "features.history.items.history_click.buckets was 2 and is 3"),
    ],
)
def test_another_model_is_refused_by_what_changed(yesterday: Path, today: Config, world: World, settings: list[str], told: str) -> None:
    with pytest.raises(InputError) as refusal:
        find_origin(str(yesterday), load_config(rewritten(today), settings), Path(today.run.output or ""), world)
    assert str(refusal.value).startswith(f"--warm-start {yesterday}: {told}; it needs the features, tasks and model of its run")


def test_what_cannot_be_started_from_is_refused(yesterday: Path, today: Config, world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no run; give its folder"):
        find_origin(str(tmp_path / "nowhere"), today, tmp_path / "today", world)
    for output in (yesterday, yesterday.parent):
        with pytest.raises(InputError, match="name another folder with --output"):
            find_origin(str(yesterday), today, output, world)
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    shutil.copy(yesterday / "config.yaml", unfinished)
    with pytest.raises(InputError, match="has no best checkpoint yet"):
        find_origin(str(unfinished), today, tmp_path / "today", world)


def test_the_run_to_start_from_is_not_overwritten(yesterday: Path) -> None:
    with pytest.raises(InputError, match="where the new run is to be"):
        run_job(load_config(yesterday / "config.yaml"), resume=False, overwrite=True, json_file=None, warm_start=str(yesterday))
    assert (yesterday / "checkpoints" / "index.json").exists()


DOCUMENT = parse_config(yaml.safe_load(DEMO.read_text()), "demo").model_dump(mode="json", include=set(FIXED))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from leaves(item, (*path, key))
    if not isinstance(value, dict | list):
        yield path


@given(st.sampled_from(sorted(leaves(DOCUMENT), key=str)), st.integers(10**6, 10**7))
def test_every_changed_value_is_found_and_named(path: tuple[Any, ...], value: int) -> None:
    assert not list(changes("", DOCUMENT, DOCUMENT))
    other = json.loads(json.dumps(DOCUMENT))
    place = other
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    found = list(changes("", DOCUMENT, other))
    assert found
    if path[-1] not in ("name", "column"):
        assert len(found) == 1 and (f".{path[-1]} was" in found[0] or isinstance(path[-1], int)), found
