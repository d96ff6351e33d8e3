"""The engine through a real kubectl. The server is the part of the API in kube_api.py: it checks and keeps objects, and runs none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube_api import KINDS, KubeApi, serve
from kube_cases import make_job, make_profile

from recsys.errors import InputError, JobError
from recsys.launch import kubernetes
from recsys.launch.job import Job, now
from recsys.launch.kubernetes import Kubernetes

ENGINE = Kubernetes()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """A cluster with Kubeflow Trainer."""
    folder = tmp_path_factory.mktemp("cluster")
    with serve(folder, list(KINDS)) as (api, config), pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(config))
        patch.setenv("HOME", str(folder))  # kubectl caches what a server has
        yield api


@pytest.fixture
def api(cluster: KubeApi) -> KubeApi:
    """The cluster, empty."""
    for things in (cluster.objects, cluster.logs, cluster.created, cluster.refusals):
        things.clear()
    return cluster


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job with its folder, not yet submitted."""
    return made("demo", "trainjob", tmp_path)


def made(name: str, kind: str, folder: Path) -> Job:
    job = make_job(make_profile(kind=kind), folder, name, nproc=2)
    job.logs.mkdir(parents=True)
    return job


def add_pod(api: KubeApi, job: Job, index: int, phase: str, attempt: int = 1, log: str | None = None, **state: Any) -> str:
    """A pod as the Job controller and the kubelet would leave it."""
    name = f"{job.name}-{index}-{attempt}"
    labels = {"recsys/job": job.name, "batch.kubernetes.io/job-completion-index": str(index)}
    status = {"phase": phase, "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{"state": state}] if state else []}
    metadata = {"name": name, "labels": labels, "creationTimestamp": f"2026-01-01T00:00:0{attempt}Z"}
    api.put("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "node"}]}, "status": status})
    api.logs[name] = log or ""
    return name


def end(api: KubeApi, job: Job, condition: str, **fields: Any) -> None:
    """What the controller writes when a job has ended."""
    kind = "trainjobs" if ("trainjobs", job.name) in api.objects else "jobs"
    item = {"type": condition, "status": "True", "lastTransitionTime": "2026-01-01T00:10:00Z", **fields}
    api.objects[kind, job.name]["status"] = {"conditions": [item]}


@pytest.mark.parametrize(("kind", "created"), [("trainjob", "ConfigMap TrainingRuntime TrainJob"), ("job", "ConfigMap Service Job")])
def test_a_job_goes_its_way_from_the_queue_to_its_end(kind: str, created: str, api: KubeApi, tmp_path: Path) -> None:
    job = made("demo", kind, tmp_path)
    ENGINE.check(job)
    assert ENGINE.submit(job) == f"{kind}/demo in recsys"
    assert api.created == created.split()
    assert (job.folder / "job.yaml").read_text() == ENGINE.render(job)
    assert ENGINE.status(job).state == "queued"
    add_pod(api, job, 0, "Running", running={"startedAt": "2026-01-01T00:00:00Z"})
    add_pod(api, job, 1, "Pending", waiting={"reason": "ImagePullBackOff", "message": "no such image"})
    status = ENGINE.status(job)
    assert (status.state, status.detail) == ("running", "some nodes wait: ImagePullBackOff: no such image")
    end(api, job, "Complete")
    status = ENGINE.status(job)
    assert (status.state, status.exit_code) == ("finished", 0)
    assert status.started and status.ended and (status.ended - status.started).total_seconds() == 600


def test_a_failed_job_says_why(api: KubeApi, job: Job) -> None:
    ENGINE.submit(job)
    add_pod(api, job, 0, "Failed", terminated={"exitCode": 2, "reason": "Error", "finishedAt": "2026-01-01T00:00:05Z"})
    end(api, job, "Failed", reason="PodFailurePolicy", message="Container node failed with exit code 2")
    status = ENGINE.status(job)
    assert (status.state, status.exit_code) == ("failed", 2)
    assert status.detail == "pod demo-0-1 ended with exit code 2; PodFailurePolicy: Container node failed with exit code 2"


def test_what_a_rank_printed_is_found_whatever_pod_it_ran_in(api: KubeApi, job: Job) -> None:
    ENGINE.submit(job)
    done = {"exitCode": 0}
    add_pod(api, job, 0, "Succeeded", 1, "agent speaks\n[rank 2] two\n[rank 3] three\n", terminated=done)
    add_pod(api, job, 1, "Succeeded", 2, "[rank 0] zero\n[rank 1] one\n[rank 0] [rank 1] quoted\n", terminated=done)
    assert list(ENGINE.logs(job, 2, follow=False)) == ["two\n"]
    assert list(ENGINE.logs(job, 0, follow=False)) == ["zero\n", "[rank 1] quoted\n"]
    assert list(ENGINE.logs(job, None, follow=False)) == ["agent speaks\n", "zero\n", "[rank 1] quoted\n"]
    with pytest.raises(InputError, match="has ranks 0 to 3"):
        list(ENGINE.logs(job, 4, follow=False))


def test_following_a_rank_goes_over_to_the_pod_that_takes_its_place(api: KubeApi, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.launch.kubernetes_logs._INTERVAL", 0.2)
    ENGINE.submit(job)
    add_pod(api, job, 0, "Running", 1, "[rank 0] first\n", running={})
    lines = ENGINE.logs(job, 0, follow=True)
    assert next(lines) == "first\n"
    add_pod(api, job, 0, "Running", 2, "[rank 0] second\n", running={})
    assert next(lines) == "second\n"
    end(api, job, "Complete")
    assert list(lines) == []


def test_cancelling_keeps_what_was_printed_and_leaves_nothing_in_the_cluster(api: KubeApi, job: Job) -> None:
    ENGINE.submit(job)
    api.put("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "another", "labels": {"recsys/job": "another"}}})
    add_pod(api, job, 0, "Running", 1, "agent\n[rank 0] zero\n[rank 1] one\n", running={})
    cancelled = job.model_copy(update={"cancelled": now()})
    ENGINE.cancel(cancelled)
    assert [key for key in api.objects if key[0] != "pods"] == [("services", "another")]
    assert ENGINE.status(cancelled).state == "cancelled"
    assert list(ENGINE.logs(cancelled, 1, follow=False)) == ["one\n"]
    assert ENGINE.status(job).state == "lost"


def test_a_name_that_is_taken_is_refused_and_the_other_job_left_alone(api: KubeApi, job: Job) -> None:
    ENGINE.submit(job)
    with pytest.raises(InputError, match="has objects of a job of that name; give another name"):
        ENGINE.submit(job)
    assert len(api.objects) == 3


def test_what_was_created_goes_again_when_a_part_is_refused(api: KubeApi, job: Job) -> None:
    api.put("trainjobs", {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "demo"}})  # someone else's
    with pytest.raises(JobError, match="already exists"):
        ENGINE.submit(job)
    assert list(api.objects) == [("trainjobs", "demo")]


def test_a_runtime_that_admission_does_not_know_yet_is_waited_for(api: KubeApi, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubernetes, "_PAUSE", 0.01)
    api.refusals += ["specified trainingRuntime must be created before the TrainJob is created"] * 2
    ENGINE.submit(job)
    assert api.created[-1] == "TrainJob"
    api.refusals.append("the namespace has no quota left")
    with pytest.raises(JobError, match="the namespace has no quota left"):
        ENGINE.submit(made("another", "trainjob", job.workdir))


def test_a_cluster_without_trainer_is_told_from_one_that_is_away(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with serve(tmp_path, ["v1", "batch/v1"]) as (_, config):
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(InputError, match="has no Kubeflow Trainer 2; have it installed, or set kind: job"):
            ENGINE.submit(job)
        with pytest.raises(InputError, match=r"context .nowhere. does not exist"):
            ENGINE.status(job.model_copy(update={"profile": make_profile(context="nowhere")}))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(
        JobError, match=r"^the cluster of the current context can't be reached: The connection to the server .* was refused"
    ):
        ENGINE.status(job)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="kubectl isn't on the PATH"):
        ENGINE.status(job)
