"""A job that is stopped and resumed ends where an unbroken one ends; a killed save leaves the last good checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from torch.distributed._shard.sharded_tensor import ShardedTensor

from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.distributed import World, process_group
from recsys.errors import InputError
from recsys.training.assembly import build_trainer
from recsys.training.checkpoint import Checkpoints
from recsys.training.job import run_job
from recsys.training.output import prepare_output
from recsys.training.trainer import Trainer

JobFile = Callable[..., Path]


@pytest.fixture
def world() -> Iterator[World]:
    with process_group() as group:
        yield group


def trainer_for(path: Path, world: World, output: Path, *settings: str) -> Trainer:
    config = load_config(path, [f"run.output={output}", *settings])
    output.mkdir(exist_ok=True)
    return build_trainer(config, world, output, Console(quiet=True), resume=False)


def as_text(trainer: Trainer) -> str:
    """Where the trainer stands, in a form in which NaN equals NaN."""
    return json.dumps([trainer.clock.to_json(), trainer.recording.to_json()])


def tensors(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors of a nested state by their path."""
    found: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            found |= {f"{key}/{name}": tensor for name, tensor in tensors(value).items()}
        elif isinstance(value, ShardedTensor):
            found[key] = torch.cat([shard.tensor for shard in value.local_shards()]).clone()
        elif isinstance(value, torch.Tensor):
            found[key] = value.clone()
    return found


def test_forty_steps_and_forty_more_are_eighty(job_file: JobFile, world: World, tmp_path: Path) -> None:
    path = job_file(
        model={"dropout": 0.2},
        train={"epochs": 2, "dense": {"schedule": "cosine", "warmup_steps": 10}, "sparse": {"schedule": "linear"}},
        evaluate={"every": 20},
    )
    unbroken = trainer_for(path, world, tmp_path / "unbroken", "train.steps=80")
    unbroken.train()
    first = trainer_for(path, world, tmp_path / "broken", "train.steps=40")
    first.train()
    second = trainer_for(path, world, tmp_path / "broken", "train.steps=80")
    second.resume()
    assert second.clock.step == 40 and as_text(second) == as_text(first)
    second.train()
    expected, actual = tensors(unbroken._state()), tensors(second._state())
    assert expected.keys() == actual.keys() and any("momentum" in key or "exp_avg" in key for key in expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=0, msg=f"{name} differs")
    assert as_text(second) == as_text(unbroken)


def test_managed_ids_go_on_with_their_rows(job_file: JobFile, world: World, tmp_path: Path) -> None:
    """Checkpoints fall between two contests, ids are evicted before and after, and evaluations give no row away."""
    settings = [
        f"features.{name}.{key}={value}"
        for name, changes in {
            "user_id": {"encoding": "managed", "eviction": "distance_lfu", "eviction_every": 3, "buckets": 60},
            "category": {"encoding": "managed", "eviction": "lru", "eviction_every": 4, "buckets": 6},
        }.items()
        for key, value in changes.items()
    ]
    path = job_file(evaluate={"every": 10})
    unbroken = trainer_for(path, world, tmp_path / "unbroken", "train.steps=20", *settings)
    unbroken.train()
    trainer_for(path, world, tmp_path / "broken", "train.steps=10", *settings).train()
    second = trainer_for(path, world, tmp_path / "broken", "train.steps=20", *settings)
    second.resume()
    before = tensors(second._state())
    second.train()
    expected, actual = tensors(unbroken._state()), tensors(second._state())
    assert expected.keys() == actual.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=0, msg=f"{name} differs")
    (ids,) = (name for name in expected if name.endswith("user_id._mch_sorted_raw_ids"))
    kept = set(before[ids].tolist()) & set(expected[ids].tolist())
    assert len(kept) < 61 and len(set(expected[ids].tolist())) == 61, "the table is full and ids were evicted"
    assert as_text(second) == as_text(unbroken)


@pytest.mark.parametrize(
    "mto",
    [
        "{strategy: normalized, every: 3, lagged: true, max_weight: 1.5}",
        "{strategy: emtl, groups: [[ctr, dwell], [cvr]], preferences: [2, 1], lagged: true}",
        "{strategy: excess}",
    ],
)
def test_options_and_state_of_the_balancer_resume(job_file: JobFile, world: World, tmp_path: Path, mto: str) -> None:
    path = job_file()
    unbroken = trainer_for(path, world, tmp_path / "unbroken", "train.steps=20", f"mto={mto}")
    unbroken.train()
    trainer_for(path, world, tmp_path / "broken", "train.steps=10", f"mto={mto}").train()
    resumed = trainer_for(path, world, tmp_path / "broken", "train.steps=20", f"mto={mto}")
    resumed.resume()
    resumed.train()
    expected, actual = tensors(unbroken._state()["balancer"]), tensors(resumed._state()["balancer"])
    assert expected.keys() == actual.keys() and expected
    for name, tensor in expected.items():
        torch.testing.assert_close(actual[name], tensor, rtol=0, atol=0, msg=f"{name} differs")


def test_the_best_checkpoint_is_the_one_that_was_evaluated(job_file: JobFile, world: World, tmp_path: Path) -> None:
    trainer = trainer_for(job_file(evaluate={"every": 20, "metric": "ctr/log_loss"}), world, tmp_path / "run", "train.steps=60")
    trainer.train()
    values = {step: metrics["ctr/log_loss"] for step, metrics in trainer.recording.evaluations}
    assert trainer.clock.best == min(values.values()) and values[trainer.clock.best_step] == trainer.clock.best
    index = trainer.parts.checkpoints.index
    assert index["best"] == f"step-{trainer.clock.best_step:08d}" and index["latest"] == "step-00000060"
    assert {path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*")} == set(index.values())


def test_a_save_that_is_killed_leaves_the_last_one(
    job_file: JobFile, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_for(job_file(), world, tmp_path / "run", "train.steps=3")
    trainer.train()
    before = tensors(trainer._state())
    monkeypatch.setattr(Checkpoints, "_point_to", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    trainer.clock.advance(0)
    with pytest.raises(KeyboardInterrupt):
        trainer._save(best=True)
    monkeypatch.undo()
    again = trainer_for(job_file(), world, tmp_path / "run", "train.steps=3")
    again.resume()
    assert again.clock.step == 3
    for name, tensor in tensors(again._state()).items():
        assert torch.equal(tensor, before[name]), name


def test_patience_stops_the_job(job_file: JobFile, world: World, tmp_path: Path) -> None:
    # With no learning every evaluation after the first is no better.
    rates = {"dense": {"learning_rate": 1e-30}, "sparse": {"learning_rate": 1e-30}}
    trainer = trainer_for(job_file(evaluate={"every": 10, "patience": 2}, train=rates), world, tmp_path / "run")
    trainer.train()
    assert trainer.clock.step == 30 and trainer.clock.best_step == 10


def test_resuming_another_job_is_refused(job_file: JobFile, tmp_path: Path) -> None:
    config = load_config(job_file(), ["train.steps=2"])
    folder = tmp_path / "run"
    prepare_output(folder, config, resume=False, overwrite=False)
    prepare_output(folder, load_config(job_file(), ["train.steps=9"]), resume=True, overwrite=False)
    with pytest.raises(InputError, match=r"model, run\.seed changed"):
        prepare_output(folder, load_config(job_file(), ["model.experts=3", "run.seed=1"]), resume=True, overwrite=False)
    with pytest.raises(InputError, match="--resume goes on with the run there, --overwrite replaces it"):
        prepare_output(folder, config, resume=False, overwrite=False)
    with pytest.raises(InputError, match="holds no run to go on with"):
        prepare_output(tmp_path / "other", config, resume=True, overwrite=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match="no run of ours"):
            prepare_output(tmp_path / "mine", config, resume=False, overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_changed_files_are_refused_in_the_middle_of_an_epoch_and_taken_between_epochs(
    job_file: JobFile, world: World, tmp_path: Path
) -> None:
    log = tmp_path / "own"
    generate(Spec(rows=1_000, users=40, items=30, days=10, seed=1), log)
    path = job_file(data={split: str(log / f"split={split}") for split in ("train", "valid", "test")}, train={"epochs": 3})
    whole = len(trainer_for(path, world, tmp_path / "run").parts.readers["train"])
    for name, setting in {"between": "train.epochs=1", "within": f"train.steps={whole + 2}"}.items():
        trainer_for(path, world, tmp_path / name, setting).train()
    first, *_ = sorted((log / "split=train").rglob("*.parquet"))
    first.rename(first.with_name("part-00007.parquet"))
    again = trainer_for(path, world, tmp_path / "between")
    again.resume()
    assert (again.clock.epoch, again.clock.step_in_epoch) == (1, 0)
    with pytest.raises(InputError, match=r"data\.train: date=\S+part-00000\.parquet is gone, \S+part-00007\.parquet is new since"):
        trainer_for(path, world, tmp_path / "within").resume()


MODELS = {
    "mmoe": ({"architecture": "mmoe", "experts": 2, "expert_layers": [16, 8]}, {"strategy": "equal"}),
    "single": ({"architecture": "single", "bottom_layers": [16, 8]}, {"strategy": "equal"}),
    "ple": ({"architecture": "ple", "levels": 2, "expert_layers": [16, 8]}, {"strategy": "normalized"}),
    "shared_bottom": ({"architecture": "shared_bottom", "bottom_layers": [16, 8]}, {"strategy": "emtl", "scope": "parameters"}),
}


@pytest.mark.parametrize("architecture", MODELS)
def test_every_kind_of_model_trains_to_a_result(job_file: JobFile, tmp_path: Path, architecture: str) -> None:
    path = job_file()
    document = yaml.safe_load(path.read_text())
    document["model"], document["mto"] = MODELS[architecture]
    path.write_text(yaml.safe_dump(document))
    result_file = tmp_path / "result.json"
    run_job(load_config(path, ["train.steps=4"]), resume=False, overwrite=False, json_file=result_file)
    result = json.loads(result_file.read_text())
    assert result["steps"] == 4 and 0 <= result["metrics"]["test/ctr/auc"] <= 1
    assert set(json.loads((tmp_path / "run" / "plan.json").read_text())[0]) >= {"table", "sharding", "ranks", "rows"}
