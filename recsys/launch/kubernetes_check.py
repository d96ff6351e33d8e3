"""What can be told of a job before Kubernetes is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from recsys.config import Config
from recsys.data.filters import split_where
from recsys.errors import InputError
from recsys.launch.job import Job
from recsys.launch.kubernetes_pod import CONTAINER
from recsys.launch.kubernetes_profile import KubernetesProfile

_LONGEST = 63  # letters of a pod's name that are also its host's


def check(job: Job, profile: KubernetesProfile) -> None:
    """Raises InputError for a name, a number of processes or a path that can't work in the pods."""
    between = "" if profile.kind == "job" else f"-{CONTAINER}-0"
    room = _LONGEST - len(f"{between}-{job.nodes - 1}-abcde")
    if len(job.name) > room or not job.name[0].isalpha():
        raise InputError(f"--name {job.name}: on Kubernetes it must begin with a letter and have at most {room}: pods are called by it")
    if profile.gpus and profile.gpus != job.nproc:
        raise InputError(f"--nproc {job.nproc}: the profile has gpus: {profile.gpus}, and a process needs one GPU of its own")
    config = job.resolve()
    if problems := [*_paths(job, config, profile), *_tracking(config, profile)]:
        raise InputError("\n".join(problems))


def _paths(job: Job, config: Config, profile: KubernetesProfile) -> Iterator[str]:
    """Files that the pods wouldn't find."""
    named = [(f"data.{split}", split_where(path)[0]) for split in ("train", "valid", "test") for path in getattr(config.data, split)]
    named += [(f"features.{item.name}.vocabulary", path) for item in config.features if (path := getattr(item, "vocabulary", None))]
    named += [("--warm-start", job.warm_start)] if job.warm_start else []
    mounted = ", ".join(volume.path for volume in profile.volumes)
    for key, path in named:
        if ":/" not in path and not _on_a_volume(path, profile):
            yield f"{key}: {path} is on no volume of the profile ({mounted}), so that no pod would find it"


def _tracking(config: Config, profile: KubernetesProfile) -> Iterator[str]:
    scheme, _, path = config.tracking.uri.partition(":///")
    if config.tracking.enabled and scheme == "sqlite" and not _on_a_volume(path, profile):
        yield f"tracking.uri: {config.tracking.uri} would lie in a pod and go with it; name a server, such as http://mlflow:5000"


def _on_a_volume(path: str, profile: KubernetesProfile) -> bool:
    whole = PurePosixPath(profile.home) / path
    return any(whole.is_relative_to(volume.path) for volume in profile.volumes)
