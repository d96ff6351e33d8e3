"""`recsys plan` as a person runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from job_cases import DEMO, write_job
from typer.testing import CliRunner

from pipelines.cli import app
from recsys.config_file import load_config
from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError
from recsys.planning.advice import check_fits
from recsys.planning.devices import Devices

HUGE = ["features.user_id.buckets=2000000000", "features.user_id.dimension=64", "features.author_id.buckets=1500000000"]
SETTINGS = ["data.streams=64", "evaluate.batch_size=8192", "features.author_id.encoding=hash", *HUGE]


def plan(*arguments: str, settings: list[str] | None = None, config: Path = DEMO) -> tuple[str, InputError | None]:
    """What is printed, and the refusal."""
    given = [f"--set={setting}" for setting in settings or []]
    result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["plan", str(config), *arguments, *given])
    assert result.exception is None or isinstance(result.exception, InputError), result.exc_info
    return result.output, result.exception


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, InputError | None, dict[str, Any]]:
    """The page, the refusal and the JSON of a job whose tables are too large for a rank."""
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    printed, error = plan("--world-size", "64", "--hbm", "80GB", "--json", str(file), settings=SETTINGS)
    return printed, error, json.loads(file.read_text())


def test_a_job_that_fits() -> None:
    printed, error = plan("--world-size", "8", "--hbm", "80GB")
    assert error is None
    assert "it fits" in printed
    assert "user_id" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_job_that_does_not_fit(refused: tuple[str, InputError | None, dict[str, Any]]) -> None:
    printed, error, _ = refused
    assert error is not None
    assert len(str(error).splitlines()) == 1
    assert "doesn't fit on 64 rank(s) of 80.0 GB" in str(error)
    assert "too large for one rank" in printed
    assert "'user_id'" in printed
    assert "--set train.sharding.default=auto fits" in printed


def test_json_adds_up(refused: tuple[str, InputError | None, dict[str, Any]]) -> None:
    _, _, told = refused
    assert told["fits"] is False
    assert (told["world_size"], told["local_world_size"], told["device_memory"], told["limit"]) == (64, 8, 80 * 10**9, 68 * 10**9)
    assert len(told["ranks"]) == 64
    for rank in told["ranks"]:
        assert sum(size for part, size in rank.items() if part != "total") == rank["total"]
    assert sum(rank["tables"] for rank in told["ranks"]) == sum(row["bytes"] for row in told["tables"])
    for part, spread in told["memory_per_rank"].items():
        assert spread["max"] == max(rank[part] for rank in told["ranks"])
    total = told["memory_per_rank"]["total"]
    assert total["imbalance"] == pytest.approx(total["max"] / total["mean"])


def test_what_is_advised_fits(refused: tuple[str, InputError | None, dict[str, Any]]) -> None:
    _, _, told = refused
    by_hand = re.search(r"--set '(train\.sharding\.tables=.*)' fits", "\n".join(told["advice"]))
    assert by_hand is not None
    for setting in ("train.sharding.default=auto", by_hand[1]):
        devices = Devices(64, 8, "cuda", 80 * 10**9)
        assert check_fits(load_config(DEMO, [*SETTINGS, setting]), devices).fits


def test_more_ranks_are_advised_where_these_are_too_few_and_are_enough() -> None:
    config, devices = load_config(DEMO, SETTINGS), Devices(2, 2, "cuda", 80 * 10**9)
    with pytest.raises(InputError, match="the job doesn't fit on 2") as refusal:
        check_fits(config, devices)
    more = re.search(r"(\d+) ranks are enough.*, with train.sharding.default=auto", str(refusal.value))
    assert more is not None
    ranks, automatic = int(more[1]), load_config(DEMO, [*SETTINGS, "train.sharding.default=auto"])
    assert check_fits(automatic, Devices(ranks, 2, "cuda", 80 * 10**9)).fits
    with pytest.raises(InputError):
        check_fits(automatic, Devices(ranks // 2, 2, "cuda", 80 * 10**9))


def test_a_batch_too_large_for_any_table_is_told() -> None:
    with pytest.raises(InputError, match=r"beside the tables each rank holds .*a smaller data\.batch_size \(now 1,024\)"):
        check_fits(load_config(DEMO), Devices(1, 1, "cuda", 20 * 10**6))


@pytest.mark.parametrize(
    ("arguments", "settings", "told"),
    [
        (["--world-size", "8", "--hbm", "eighty"], [], "--hbm: 'eighty' is no size; write it as 80GB"),
        (["--world-size", "12", "--local-world-size", "8"], [], "world size 12 is no multiple of local world size 8"),
        (["--world-size", "16"], [], "data.streams: 8 streams cannot be shared out over 16 ranks; set it to 16 or more"),
        (["--world-size", "0"], [], "world size 0"),
        (["--world-size", "8", "--device", "tpu"], [], "--device: 'tpu' is none of cuda, cpu"),
        (["--world-size", "8"], ["train.sharding.tables={usr_id: row_wise}"], "there is no table 'usr_id'; the nearest is 'user_id'"),
        (["--world-size", "8"], ["train.sharding.default=rows"], "train.sharding.default"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], settings: list[str], told: str) -> None:
    _, error = plan(*arguments, settings=settings)
    assert error is not None
    assert told in str(error)
    assert len(str(error).splitlines()) == 1


def test_launch_refuses_a_job_that_cannot_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(Spec(rows=400, users=30, items=20, days=10), tmp_path / "log")
    write_job(tmp_path / "log", tmp_path, run={"output": None})
    (tmp_path / "small.yaml").write_text("engine: local\nnproc: 2\ndevice_memory: 1MB\n")
    monkeypatch.chdir(tmp_path)
    refusal = CliRunner().invoke(app, ["launch", "job.yaml", "--on", "small.yaml", "--name", "small"]).exception
    assert isinstance(refusal, InputError)
    assert "the job doesn't fit on 2 rank(s) of 1.0 MB" in str(refusal)
    assert not (tmp_path / "jobs" / "small").exists()
    (tmp_path / "small.yaml").write_text("engine: local\ndevice_memory: much\n")
    refusal = CliRunner().invoke(app, ["launch", "job.yaml", "--on", "small.yaml"]).exception
    assert isinstance(refusal, InputError)
    assert "small.yaml: device_memory: 'much' is no size; write it as 80GB" in str(refusal)


def test_more_rank_bars_than_fit_are_summed_up(tmp_path: Path) -> None:
    document = yaml.safe_load(DEMO.read_text())
    document["data"]["streams"] = document["data"]["batch_size"] = 1024
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(document))
    printed, _ = plan("--world-size", "1024", "--hbm", "80GB", config=path)
    assert [line.split()[0] for line in printed.splitlines() if "░" in line] == ["min", "median", "max"]
    assert "between machines of 8 ranks" in printed
