"""Jobs launched on this machine: real agents, real processes, a real MLflow store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_cases import write_job
from mlflow import MlflowClient

from pipelines.cli import app, run
from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError
from recsys.launch import PROFILES
from recsys.launch.job import load_job
from recsys.launch.local import Local
from recsys.launch.processes import processes_with

pytestmark = pytest.mark.timeout(900)
RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]
PROFILE = "engine: local\nnproc: 1\nmax_restarts: 3\n"


def command(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "140", "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run([*RECSYS, *arguments], capture_output=True, text=True, timeout=800, env=environment, cwd=folder, check=False)
    assert ended.returncode == code, ended.stderr + ended.stdout
    return ended


def wait_for(condition: Callable[[], Any], seconds: float = 400) -> Any:
    """What `condition` gives, once it gives something."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


def rank_process(job: Path, rank: int, attempt: int) -> int | None:
    """The process of a rank in its n-th attempt."""
    file = job / "logs" / f"rank-{rank}.log"
    starts = [line for line in file.read_text().splitlines() if line.startswith("--- ")] if file.exists() else []
    return int(starts[attempt - 1].rpartition(" ")[2]) if len(starts) >= attempt else None


def last_rank(job: Path, attempt: int) -> int | None:
    """The process of rank 1 in the n-th attempt, once rank 0 has begun it too: killed sooner, rank 0 would end without a line."""
    return rank_process(job, 1, attempt) if rank_process(job, 0, attempt) else None


def facts(folder: Path, name: str) -> dict[str, Any]:
    command(folder, "status", name, "--json", "status.json")
    return json.loads((folder / "status.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where jobs are launched, with a log, a configuration and profiles."""
    folder = tmp_path_factory.mktemp("it's here")
    generate(Spec(rows=4_000, users=300, items=200, days=10, seed=5), folder / "log")
    write_job(
        Path("log"),
        folder,
        run={"output": None},
        train={"epochs": 2, "checkpoint_every": 4},
        evaluate={"every": 30},
        tracking={"enabled": True, "uri": "sqlite:///mlflow.db"},
    )
    (folder / "configs" / "launch").mkdir(parents=True)
    (folder / "configs" / "launch" / "local.yaml").write_text(PROFILE)
    (folder / "configs" / "launch" / "once.yaml").write_text(PROFILE.replace("3", "0"))
    return folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder


def test_two_jobs_at_once_and_one_of_them_is_killed_twice_and_stopped(folder: Path) -> None:
    """Before its first checkpoint and after, then told to stop: it ends as the other one, which nobody disturbs."""
    for name in ("calm", "killed"):
        command(folder, "launch", "job.yaml", "--on", "local", "--nproc", "2", "--name", name)
    job = folder / "jobs" / "killed"
    os.kill(wait_for(lambda: last_rank(job, attempt=1)), signal.SIGKILL)
    wait_for((job / "run" / "checkpoints" / "index.json").exists)
    os.kill(wait_for(lambda: last_rank(job, attempt=2)), signal.SIGKILL)
    wait_for(lambda: last_rank(job, attempt=3))
    saved = (job / "run" / "checkpoints" / "index.json").read_text()
    wait_for(lambda: (job / "run" / "checkpoints" / "index.json").read_text() != saved)
    os.kill(rank_process(job, 1, attempt=3) or 0, signal.SIGUSR1)
    command(folder, "wait", "calm", "killed", "--timeout", "700")
    first, second = (command(folder, "logs", "killed", "--rank", rank).stdout for rank in ("0", "1"))
    step = second.partition("stopped: by SIGUSR1 at step ")[2].partition(",")[0]
    assert step and f"stopped: with another rank at step {step}, whose checkpoint is saved" in first
    calm, killed = (json.loads((folder / "jobs" / name / "run" / "result.json").read_text()) for name in ("calm", "killed"))
    assert killed["metrics"] == calm["metrics"] and (killed["steps"], killed["samples"]) == (calm["steps"], calm["samples"])
    assert calm["world_size"] == killed["world_size"] == 2
    printed = command(folder, "logs", "killed").stdout
    assert [line.partition("attempt ")[2].partition(",")[0] for line in printed.splitlines() if line.startswith("---")] == [
        "1",
        "2",
        "3",
        "4",
    ]
    assert "recvV" not in printed and "Traceback" not in command(folder, "logs", "calm", "--rank", "1").stdout
    assert (folder / "jobs" / "calm" / "logs" / "agent.log").read_text() == "", "nothing that needs no attention"

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("demo").experiment_id])
    assert sorted(found.info.run_name for found in runs) == ["calm", "killed"], "one run a job, under its name"
    status = facts(folder, "killed")
    assert (status["state"], status["exit_code"], status["mlflow_run"]) == ("finished", 0, killed["run_id"])
    recorded = client.get_run(status["mlflow_run"])
    assert recorded.info.status == "FINISHED" and recorded.data.params["train.epochs"] == "2"
    assert {key: value for key, value in recorded.data.tags.items() if key.startswith("job.")} == {
        "job.name": "killed",
        "job.engine": "local",
        "job.id": status["id"],
        "job.folder": str(job),
    }
    assert command(folder, "cancel", "killed", code=2).stderr == "error: killed: there is nothing to cancel, it is finished already\n"


def test_a_cancelled_job_saves_a_checkpoint_and_leaves_no_process(folder: Path) -> None:
    command(
        folder, "launch", "job.yaml", "--on", "local", "--name", "endless", "--set", "train.epochs=400", "--set", "evaluate.every=100000"
    )
    job = folder / "jobs" / "endless"
    wait_for((job / "run" / "checkpoints" / "index.json").exists)
    assert facts(folder, "endless")["state"] == "running"
    told = command(folder, "cancel", "endless").stdout
    status = facts(folder, "endless")
    assert status["state"] == "cancelled" and told == f"endless: cancelled; its last checkpoint is of step {status['checkpoint']:,}\n"
    assert f"stopped: by SIGTERM at step {status['checkpoint']}, whose checkpoint is saved" in command(folder, "logs", "endless").stdout
    assert not processes_with("RECSYS_JOB_KEY", json.loads((job / "job.json").read_text())["key"])
    assert command(folder, "wait", "endless", code=1).stdout == "endless: cancelled\n"


def test_a_job_whose_shell_and_agent_are_gone_is_lost_and_not_running(folder: Path) -> None:
    command(folder, "launch", "job.yaml", "--on", "local", "--name", "gone", "--set", "train.epochs=400")
    job = folder / "jobs" / "gone"
    worker = wait_for(lambda: rank_process(job, 0, attempt=1))
    record = json.loads((job / "job.json").read_text())
    for process in processes_with("RECSYS_JOB_KEY", record["key"]):
        if process != worker:
            os.kill(process, signal.SIGKILL)
    status = facts(folder, "gone")
    assert status["state"] == "lost" and "recsys cancel gone" in status["detail"]
    # Another process has the shell's id now: that of this test.
    (job / "job.json").write_text(json.dumps(record | {"engine_id": str(os.getpid())}))
    assert facts(folder, "gone")["state"] == "lost"
    command(folder, "cancel", "gone")
    assert not processes_with("RECSYS_JOB_KEY", record["key"]) and facts(folder, "gone")["state"] == "cancelled"


def test_a_job_that_fails_says_why(folder: Path) -> None:
    command(folder, "launch", "job.yaml", "--on", "once", "--name", "broken", "--set", "train.dense.learning_rate=1e30")
    told = command(folder, "wait", "broken", code=1).stdout
    assert told.startswith("broken: failed: the loss of ") and "is not finite in step" in told and len(told.splitlines()) == 1
    command(folder, "jobs", "--json", "jobs.json")
    (listed,) = (job for job in json.loads((folder / "jobs.json").read_text()) if job["name"] == "broken")
    assert (listed["state"], listed["exit_code"]) == ("failed", 1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["launch", "job.yaml", "--on", "locl"], "there is no configs/launch/locl.yaml; did you mean 'local'?"),
        (["launch", "job.yaml", "--on", "elsewhere/x.yaml"], "elsewhere/x.yaml: cannot be read"),
        (["launch", "job.yaml", "--on", "local", "--nodes", "2"], "--nodes 2: engine local starts processes on this machine alone"),
        (["launch", "job.yaml", "--on", "local", "--name", "taken"], "--name taken: there is a job of that name"),
        (["launch", "job.yaml", "--on", "local", "--name", "No_1"], "--name No_1: must be lower-case letters"),
        (["launch", "job.yaml", "--on", "local", "--set", "run.output=x"], "a launched job is called by --name"),
        (["launch", "job.yaml", "--on", "local", "--set", "train.epoch=1"], "did you mean 'epochs'?"),
        (["launch", "job.yaml", "--on", "local", "--set", "data.train=nowhere"], "nowhere"),
        (["launch", "job.yaml", "--on", "local", "--set", "mto.strategy=emtll"], "emtll"),
        (["status", "takn"], "takn: there is no job of that name; did you mean 'taken'?"),
        (["logs", "taken", "--rank", "2"], "--rank 2: taken has ranks 0 to 1"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    taken = here / "jobs" / "taken"
    if not taken.exists():
        command(here, "launch", "job.yaml", "--on", "local", "--dry-run", "--name", "taken", "--nproc", "2", "--json", "taken.json")
        taken.mkdir(parents=True)
        fields = json.loads((here / "taken.json").read_text())
        fields.pop("folder")
        (taken / "job.json").write_text(json.dumps(fields))
    before = sorted((here / "jobs").iterdir())
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(arguments))
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and len(told) == 1 and told[0].startswith("error: ") and expected in told[0]
    assert sorted((here / "jobs").iterdir()) == before


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("engine: slrm", "engine must be one of kubernetes, local, slurm, but is 'slrm'; did you mean 'slurm'?"),
        ("nproc: 2", "engine must be one of kubernetes, local, slurm"),
        ("- local", "engine must be one of kubernetes, local, slurm"),
        ("engine: local\nnprocs: 2", "nprocs is not a known key; did you mean 'nproc'?"),
        ("engine: local\nnproc: 0", "nproc: input should be greater than 0, but is 0"),
        (
            "engine: local\nenvironment: {MLFLOW_TRACKING_PASSWORD: x}",
            "a secret such as MLFLOW_TRACKING_PASSWORD has no place in a profile",
        ),
        ("engine: [", "is not YAML"),
    ],
)
def test_a_bad_profile_is_one_line(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], document: str, expected: str) -> None:
    (tmp_path / "mine.yaml").write_text(document)
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(["launch", "job.yaml", "--on", str(tmp_path / "mine.yaml")]))
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 2 and len(told) == 1 and "mine.yaml" in told[0] and expected in told[0]


def test_a_dry_run_prints_the_script_and_leaves_nothing(here: Path) -> None:
    before = sorted(here.rglob("*"))
    script = command(here, "launch", "job.yaml", "--on", "local", "--nproc", "2", "--name", "dry", "--dry-run").stdout
    assert "recsys.launch.torchrun" in script and "--nproc-per-node=2" in script and "TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1" in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize("profile", sorted((Path(__file__).parents[2] / "configs" / "launch").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_engine_runs_the_same_in_each_process(here: Path, capsys: pytest.CaptureFixture[str], profile: Path) -> None:
    there = [f"--set=data.{split}=/data/{split}" for split in ("train", "valid", "test")] + ["--set=tracking.uri=http://mlflow:5000"]
    arguments = ["launch", "job.yaml", "--on", str(profile), "--name", "dry", "--dry-run", "--warm-start", "/runs/yesterday", *there]
    with pytest.raises(SystemExit) as ended:
        run(lambda: app(arguments))
    script = capsys.readouterr().out
    assert ended.value.code == 0
    for word in ("pipelines.train", "--resume-or-start", "--warm-start=/runs/yesterday", "--rdzv-backend=c10d"):
        assert word in script


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_]{1,9}", fullmatch=True).filter(lambda name: name not in ("_", "PWD", "OLDPWD", "SHLVL")),
        st.text(st.characters(codec="utf-8", exclude_characters="\0")),
        max_size=3,
    )
)
@settings(max_examples=25)
def test_the_environment_arrives_as_it_is_written(environment: dict[str, str]) -> None:
    from recsys.launch.job import Job, now
    from recsys.launch.local import LocalProfile

    try:
        profile = LocalProfile(engine="local", environment=environment)
    except ValueError:
        return  # looks like a secret
    job = Job(name="x", key="k", config="c", overrides=[], profile=profile, nodes=1, nproc=1, workdir=Path("/"), created=now())
    exports = Local().render(job).partition("# The shell")[0]
    found = subprocess.run(["sh", "-c", exports + "\nexec env -0"], capture_output=True, check=True).stdout.split(b"\0")
    assert {f"{key}={value}".encode() for key, value in environment.items()} <= set(found)


def test_a_job_reads_back_as_it_was(here: Path) -> None:
    command(here, "launch", "job.yaml", "--on", "once", "--name", "kept", "--set", "train.steps=1", "--dry-run", "--json", "kept.json")
    fields = json.loads((here / "kept.json").read_text())
    fields.pop("folder")
    (here / "jobs" / "kept").mkdir(parents=True)
    (here / "jobs" / "kept" / "job.json").write_text(json.dumps(fields))
    job = load_job("kept", PROFILES)
    assert job.model_dump(mode="json") == fields and type(job.profile).__name__ == "LocalProfile" and job.profile.max_restarts == 0
    (here / "jobs" / "kept" / "job.json").write_text(json.dumps(fields | {"nproks": 1}))
    with pytest.raises(InputError, match="nproks is not a known key; did you mean 'nproc'"):
        load_job("kept", PROFILES)
