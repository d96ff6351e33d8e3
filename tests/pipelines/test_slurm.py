"""Jobs on a real Slurm of two nodes on this machine: what a person gets, and what becomes of a job when something dies under it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from job_cases import write_job
from slurm_cluster import Cluster, cluster, missing, missing_namespaces

from recsys.data.synthetic import Spec, generate
from recsys.launch.slurm_array import array_statuses, submit_array
from recsys.launch.slurm_profile import SlurmProfile
from recsys.study.executor import Running, Work
from recsys.study.slurm import SlurmArrays

RECSYS = [sys.executable, "-c", "from pipelines.cli import main; main()"]
ROOT = Path(__file__).parents[2]
REQUEUED = [["0", "started"], ["0", "ended", "75"], ["1", "started"], ["1", "ended", "0"]]  # restarts of a job, and what its script noted
ABSENT = missing()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(ABSENT is not None, reason=f"no Slurm: {ABSENT}"), pytest.mark.timeout(1200)]


@dataclass
class Site:
    """A folder that jobs are launched from, and the cluster that they are launched to."""

    folder: Path
    cluster: Cluster

    def recsys(self, *arguments: str, code: int = 0) -> str:
        """What a command prints, which ends with that exit code."""
        environment = {**self.cluster.environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([*RECSYS, *arguments], capture_output=True, text=True, cwd=self.folder, env=environment, timeout=700)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def launch(self, name: str, *options: str) -> None:
        self.recsys("launch", "job.yaml", "--on", "site.yaml", "--name", name, *options)

    def status(self, name: str) -> dict[str, Any]:
        self.recsys("status", name, "--json", str(self.folder / "status.json"))
        return json.loads((self.folder / "status.json").read_text())

    def engine_id(self, name: str) -> str:
        return json.loads((self.folder / "jobs" / name / "job.json").read_text())["engine_id"]

    def wait_for(self, what: str, condition: Callable[[], bool], seconds: float = 300) -> None:
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what} did not come about"
            time.sleep(0.05)

    def wait_for_checkpoint(self, name: str) -> None:
        index = self.folder / "jobs" / name / "run" / "checkpoints" / "index.json"
        self.wait_for("a checkpoint", index.exists)

    def metrics(self, name: str) -> dict[str, float]:
        """Those of a job that finished."""
        self.recsys("wait", name, "--timeout", "600")
        return json.loads((self.folder / "jobs" / name / "run" / "result.json").read_text())["metrics"]

    def notes(self, name: str) -> list[list[str]]:
        """What each attempt of the script noted, without times."""
        return [line.split()[1:] for line in (self.folder / "jobs" / name / "slurm.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log, a job of some seconds, and a profile. Its name has what a shell would stumble over."""
    folder = tmp_path_factory.mktemp("slurm") / "it's 50% of $HOME"
    folder.mkdir()
    generate(Spec(rows=4_000, users=300, items=200, days=10, seed=5), folder / "log")
    train = {"epochs": 4, "checkpoint_every": 10}
    write_job(folder / "log", folder, run={"name": "small", "output": None}, train=train, evaluate={"every": 1000})
    write_profile(folder, "site")
    return folder


def write_profile(folder: Path, name: str, **keys: Any) -> None:
    shell = ['export SITE="set up"']
    profile = {"engine": "slurm", "partition": "main", "memory": "500M", "stop_seconds": 15, "setup": shell, **keys}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(profile))


@pytest.fixture(scope="module")
def unbroken(folder: Path) -> dict[str, float]:
    """The metrics of the same job with two processes here, without Slurm."""
    command = [*RECSYS, "train", "job.yaml", "--nproc", "2", "--output", "unbroken"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=folder, capture_output=True, env=environment, timeout=600)
    return json.loads((folder / "unbroken" / "result.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def plain() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def site(folder: Path, plain: Cluster) -> Site:
    return Site(folder, plain)


@pytest.fixture(scope="module")
def two_hosts(folder: Path) -> Iterator[Site]:
    """The same with a network namespace a node."""
    if why := missing_namespaces():
        pytest.skip(why)
    with cluster(namespaces=True) as made:
        yield Site(folder, made)


def test_a_killed_worker_comes_back_and_the_result_is_that_of_a_local_run(site: Site, unbroken: dict[str, float]) -> None:
    site.launch("killed", "--nodes", "2")
    site.wait_for_checkpoint("killed")
    [worker] = site.cluster.workers_of("n2")
    os.kill(worker, signal.SIGKILL)
    assert site.metrics("killed") == pytest.approx(unbroken, rel=1e-6)

    after = site.status("killed")
    assert (after["state"], after["exit_code"], after["processes"]) == ("finished", 0, 2)
    assert site.notes("killed") == [[after["id"], "0", "started"], [after["id"], "0", "ended", "0"]]
    logs = [site.recsys("logs", "killed", "--rank", str(rank)) for rank in range(2)]
    assert "test split" in logs[0] and "attempt 2, rank " in logs[0] + logs[1]


def test_a_job_that_is_warned_saves_itself_is_requeued_and_goes_on(site: Site, unbroken: dict[str, float]) -> None:
    site.launch("warned", "--nodes", "2")
    site.wait_for_checkpoint("warned")
    site.cluster.run("scancel", "--signal=USR1", site.engine_id("warned"))  # what Slurm does before a time limit
    assert site.metrics("warned") == pytest.approx(unbroken, rel=1e-6)
    assert [note[1:] for note in site.notes("warned")] == REQUEUED
    assert "whose checkpoint is saved" in site.recsys("logs", "warned")


@pytest.mark.slow
def test_a_preempted_job_saves_itself_and_goes_on_when_the_urgent_one_is_done(site: Site, unbroken: dict[str, float]) -> None:
    site.launch("preempted", "--nodes", "2")
    site.wait_for_checkpoint("preempted")
    site.cluster.run("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    assert site.metrics("preempted") == pytest.approx(unbroken, rel=1e-6)
    assert [note[1:] for note in site.notes("preempted")] == REQUEUED
    assert "whose checkpoint is saved" in site.recsys("logs", "preempted")


@pytest.mark.slow
def test_slurm_warns_before_the_time_limit(site: Site) -> None:
    site.launch("limited", "--set", "train.epochs=100")
    site.wait_for_checkpoint("limited")
    # Limits are minutes, and looked at each half; so the end is set to when the next look warns of it.
    site.cluster.run("scontrol", "update", f"JobId={site.engine_id('limited')}", "EndTime=now+46")
    site.wait_for("the second start", lambda: [note[1:] for note in site.notes("limited")] == REQUEUED[:3])
    site.recsys("cancel", "limited")
    assert "whose checkpoint is saved" in site.recsys("logs", "limited")


def test_without_requeues_a_stopped_job_says_how_to_go_on(site: Site) -> None:
    write_profile(site.folder, "once", requeues=0)
    site.recsys("launch", "job.yaml", "--on", "once.yaml", "--name", "once", "--nodes", "1")
    site.wait_for_checkpoint("once")
    # With its usual way to keep track of processes (cgroups) Slurm signals the shells alone; the one of these tests signals all.
    for shell in site.cluster.tasks_of("n1"):
        os.kill(shell, signal.SIGUSR1)
    told = site.recsys("wait", "once", "--timeout", "600", code=1)
    assert "whose checkpoint is saved" in site.recsys("logs", "once")
    script = site.folder / "jobs" / "once" / "job.sh"
    assert told == f"once: failed: it was stopped and not requeued; `sbatch {script}` goes on from its last checkpoint\n"


def test_cancel_saves_a_checkpoint_and_leaves_no_process(site: Site) -> None:
    site.launch("cancelled", "--nodes", "2", "--set", "train.epochs=100")
    site.wait_for_checkpoint("cancelled")
    told = site.recsys("cancel", "cancelled")
    assert told.startswith("cancelled: cancelled; its last checkpoint is of step ")
    assert "whose checkpoint is saved" in site.recsys("logs", "cancelled")
    site.wait_for("the end of all processes", lambda: not any(site.cluster.workers_of(node) for node in site.cluster.nodes), 30)
    assert "there is nothing to cancel" in site.recsys("cancel", "cancelled", code=2)


def test_why_a_job_failed_is_told_in_a_line(site: Site) -> None:
    write_profile(site.folder, "no-restart", max_restarts=0)
    site.recsys("launch", "job.yaml", "--on", "no-restart.yaml", "--name", "bad", "--set", "train.dense.learning_rate=1e30")
    told = site.recsys("wait", "bad", "--timeout", "600", code=1)
    assert told.startswith("bad: failed: ") and "step" in told and told.count("\n") == 1


def test_a_folder_that_the_machines_do_not_see_is_named(site: Site) -> None:
    write_profile(site.folder, "held", options={"hold": None})
    site.recsys("launch", "job.yaml", "--on", "held.yaml", "--name", "unseen")
    logs = site.folder / "jobs" / "unseen" / "logs"
    logs.rename(logs.with_name("elsewhere"))
    site.cluster.run("scontrol", "release", site.engine_id("unseen"))
    told = site.recsys("wait", "unseen", "--timeout", "100", code=1)
    assert told == f"unseen: failed: Slurm could not start it (JobLaunchFailure); every machine must see {logs.parent}\n"


def test_an_array_runs_its_commands_and_tells_of_each(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", site.cluster.environment["SLURM_CONF"])
    monkeypatch.chdir(site.folder)
    folder = site.folder / "the array"
    # The second goes on only in its second start, as a training that was stopped does.
    stopped = "test -e again && exit 0; touch again; kill -USR1 $PPID; sleep 30"
    words = ["a b", "$HOME", 'quo"te', "new\nline"]
    commands = [["printf", "%s|", *words], ["bash", "-c", stopped], ["bash", "-c", "echo no; exit 3"]]
    number = submit_array("all", SlurmProfile(engine="slurm", memory="100M", stop_seconds=5), commands, 2, folder)
    site.wait_for("the array's end", lambda: all(status.over for status in array_statuses(number, 3, folder)))
    found = array_statuses(number, 3, folder)
    assert [(status.state, status.exit_code) for status in found] == [("finished", 0), ("finished", 0), ("failed", 3)]
    assert (folder / "logs" / "0.log").read_text() == "|".join([*words, ""])
    assert [line.split()[2:] for line in (folder / "slurm-1.log").read_text().splitlines()][-2:] == [["1", "started"], ["1", "ended", "0"]]
    # Once Slurm has forgotten them, the notes on disk say the same.
    forgotten = [(status.state, status.exit_code) for status in array_statuses("999", 3, folder)]
    assert forgotten == [("finished", 0), ("finished", 0), ("failed", 3)]


def test_children_of_a_study_run_as_elements_of_an_array(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", site.cluster.environment["SLURM_CONF"])
    executor = SlurmArrays("study", SlurmProfile(engine="slurm", memory="100M", stop_seconds=5), tmp_path / "slurm", at_once=2)

    def start(name: str, script: str) -> Running:
        return executor.start(Work(name, ["bash", "-c", script, "recsys", "--resume"], tmp_path / f"{name}.log"), 0)

    good, bad, long = start("good", 'echo "$@"'), start("bad", "echo no >&2; exit 3"), start("long", "sleep 100")
    site.wait_for("two to end", lambda: (good.poll(), bad.poll()) == (0, 3))
    assert ((tmp_path / "good.log").read_text(), (tmp_path / "bad.log").read_text()) == ("--resume-or-start\n", "no\n")
    assert long.poll() is None
    long.stop()
    site.wait_for("the third to end", lambda: long.poll() is not None)
    assert long.poll() == 130
    assert [path.parent.name for path in tmp_path.glob("slurm/*/id")] == ["0"]  # all in one array

    left = start("left", f"sleep 100; touch {tmp_path}/ran")
    assert left.poll() is None
    SlurmArrays("study", SlurmProfile(engine="slurm"), tmp_path / "slurm", at_once=2)  # a process that goes on where this one was killed
    assert site.cluster.run("squeue", "--noheader", "--name=study").stdout == ""


def test_slurm_says_no_in_a_line(site: Site) -> None:
    write_profile(site.folder, "wrong", partition="nowhere")
    told = site.recsys("launch", "job.yaml", "--on", "wrong.yaml", "--name", "refused", code=2)
    assert told.startswith("error: Slurm refuses refused: invalid partition specified: nowhere") and told.count("\n") == 1
    assert not (site.folder / "jobs" / "refused").exists()


def test_options_arrive_at_slurm_as_they_are(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch reads options by rules of its own, which differ from a shell's."""
    monkeypatch.setenv("SLURM_CONF", site.cluster.environment["SLURM_CONF"])

    @settings(max_examples=20)
    @given(comment=st.text("ab '\"\\#$`;&|%=,é-", min_size=1, max_size=20).filter(lambda text: not text.isspace()))
    def submitted(comment: str) -> None:
        held = SlurmProfile.model_validate({"engine": "slurm", "options": {"comment": comment, "hold": None}})
        job = submit_array("held", held, [["true"]], 1, tmp_path)
        shown = site.cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%T%k").stdout
        site.cluster.run("scancel", job)
        assert shown == f"PENDING{comment}\n"

    submitted()


def test_a_controller_that_is_away_is_told_in_a_line(site: Site) -> None:
    site.cluster.stop_controller()
    try:
        told = site.recsys("launch", "job.yaml", "--on", "site.yaml", "--name", "away", code=1)
        assert told.startswith("failed: Slurm's controller can't be reached: ") and told.count("\n") == 1
        assert not (site.folder / "jobs" / "away").exists()
    finally:
        site.cluster.start_controller()
        site.cluster.wait_for_nodes()


def test_a_lost_node_is_waited_for_and_the_job_goes_on(two_hosts: Site, unbroken: dict[str, float]) -> None:
    site, lost = two_hosts, two_hosts.cluster.nodes[1]
    site.launch("lost", "--nodes", "2")
    site.wait_for_checkpoint("lost")
    site.cluster.kill_node(lost)
    site.wait_for("that Slurm knows", lambda: site.status("lost")["state"] == "queued")
    site.cluster.start_node(lost)
    assert site.metrics("lost") == pytest.approx(unbroken, rel=1e-6)
    assert site.notes("lost")[-1][1:] == ["1", "ended", "0"]
    assert f"rank 1 of 2 on {lost}" in site.recsys("logs", "lost", "--rank", "1")
