"""Jobs on Kubernetes: a TrainJob of Kubeflow Trainer 2, or an indexed Job with a headless service. kubectl submits them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from recsys.errors import InputError, JobError
from recsys.files import write_whole
from recsys.launch.engine import Status
from recsys.launch.job import Job
from recsys.launch.kubernetes_client import Kubectl
from recsys.launch.kubernetes_logs import keep, lines_now, lines_to_come, split
from recsys.launch.kubernetes_profile import JOB, KubernetesProfile
from recsys.launch.kubernetes_status import status_of
from recsys.launch.logs import read_logs
from recsys.launch.profile import Profile

_MANIFEST = "job.yaml"
_KINDS = {"job": "job,service,configmap", "trainjob": "trainjob,trainingruntime,configmap"}
# Trainer's admission looks a runtime up in a cache, which may not have it yet.
_RUNTIME_IS_NEW = "must be created before the TrainJob"
_ATTEMPTS, _PAUSE = 10, 1.0


class Kubernetes:
    """The objects of a job bear its name and the label JOB; by that they are found and deleted.

    What knows the cluster's kinds of objects is imported where it is used: jobs of other engines needn't wait for it.
    """

    profile: type[Profile] = KubernetesProfile
    sees_files = False

    def check(self, job: Job) -> None:
        """Names, processes and paths."""
        from recsys.launch.kubernetes_check import check

        check(job, _profile(job))

    def render(self, job: Job) -> str:
        """The manifest, several YAML documents."""
        from recsys.launch.kubernetes_manifest import manifest

        return "---\n".join(manifest(job, _profile(job)))

    def submit(self, job: Job) -> str:
        """Create the objects of the manifest; those that were created go again when one is refused."""
        from recsys.launch.kubernetes_manifest import engine_id, manifest

        profile = _profile(job)
        client, documents = Kubectl(profile), manifest(job, profile)
        if client.get(_KINDS[profile.kind], _selector(job)):
            raise InputError(
                f"--name {job.name}: namespace {profile.namespace} has objects of a job of that name; give another name, or remove them: "
                f"kubectl -n {profile.namespace} delete {_KINDS[profile.kind]} {_selector(job)}"
            )
        write_whole(job.folder / _MANIFEST, self.render(job))
        try:
            for document in documents:
                _create(client, document)
        except BaseException:
            _delete(client, job)
            raise
        return engine_id(job, profile)

    def status(self, job: Job) -> Status:
        """From the conditions of the Job or TrainJob, and from its pods."""
        profile = _profile(job)
        client = Kubectl(profile)
        if not (owners := client.get(profile.kind, job.name)):
            if job.cancelled:
                return Status("cancelled", ended=job.cancelled)
            return Status("lost", f"namespace {profile.namespace} doesn't have it any more: it was deleted, or kept long enough")
        return status_of(owners[0], client.get("pods", _selector(job)))

    def logs(self, job: Job, rank: int | None, follow: bool) -> Iterator[str]:
        """What the pods have printed: of a rank, or of rank 0 and the agents; of a cancelled job from its folder."""
        ranks = job.nodes * job.nproc
        if rank is not None and rank >= ranks:
            raise InputError(f"--rank {rank}: {job.name} has ranks 0 to {ranks - 1}")
        if job.cancelled:
            yield from read_logs(job, rank, False, lambda: True)
            return
        client, selector = Kubectl(_profile(job)), _selector(job)
        lines = lines_to_come(client, selector, lambda: self.status(job).over) if follow else lines_now(client, selector)
        wanted = {rank} if rank is not None else {0, None}
        yield from (text for printed, text in map(split, lines) if printed in wanted)

    def cancel(self, job: Job) -> None:
        """Keep what was printed and delete the objects; the pods then have stop_seconds to save a checkpoint."""
        client = Kubectl(_profile(job))
        keep(job, client, _selector(job))
        _delete(client, job)


def _profile(job: Job) -> KubernetesProfile:
    assert isinstance(job.profile, KubernetesProfile)
    return job.profile


def _selector(job: Job) -> str:
    return f"--selector={JOB}={job.name}"


def _create(client: Kubectl, document: str) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            client.run("create", "--filename=-", stdin=document)
            return
        except JobError as error:
            if _RUNTIME_IS_NEW not in str(error) or attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE)


def _delete(client: Kubectl, job: Job) -> None:
    client.run("delete", _KINDS[_profile(job).kind], _selector(job), "--ignore-not-found", "--wait=false")
