"""The profile of the Kubernetes engine."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator, model_validator

from recsys.launch.kubernetes_types import (
    Cores,
    DnsLabel,
    DnsName,
    EnvName,
    LabelKey,
    LabelValue,
    Memory,
    MountPath,
    SecretKey,
)
from recsys.launch.profile import Profile
from recsys.section import Section

JOB = "recsys/job"  # label of all objects of a job, with its name
CONFIG_FOLDER = "/etc/recsys"  # where a pod finds the job's configuration
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")


class SecretReference(Section):
    """A value that lies in a secret of the cluster."""

    name: DnsName = Field(description="Name of the secret.")
    key: SecretKey = Field(description="Its key.")


class VolumeConfig(Section):
    """Storage that every node of the job sees under the same path."""

    path: MountPath = Field(description="Where it is mounted.")
    claim: DnsName | None = Field(None, description="Name of a persistent volume claim; ReadWriteMany with several nodes.")
    host_path: MountPath | None = Field(None, description="Folder of the machine itself; only with `allow_host_paths`.")
    sub_path: str | None = Field(None, description="Folder of the volume that is mounted; all of it when left out.")
    read_only: bool = False

    @field_validator("sub_path")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        if value is not None and (value.startswith("/") or ".." in value.split("/") or not value):
            raise ValueError("must be a relative path without '..'")
        return value

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.claim is None) == (self.host_path is None):
            raise ValueError("needs one of claim and host_path")
        return self


class TolerationConfig(Section):
    """A taint that the job's nodes may have."""

    key: LabelKey | None = Field(None, description="Key of the taint; every one when left out.")
    value: LabelValue | None = Field(None, description="Its value; any when left out.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(None, description="Its effect; any when left out.")

    @model_validator(mode="after")
    def _value_has_a_key(self) -> Self:
        if self.key is None and self.value is not None:
            raise ValueError("needs the key of the value")
        return self


class KubernetesProfile(Profile):
    """A namespace of a cluster, and the pods that a job gets there: one on each of `nodes` machines."""

    engine: Literal["kubernetes"]
    kind: Literal["trainjob", "job"] = Field("trainjob", description="`trainjob` for Kubeflow Trainer 2, `job` for a cluster without it.")
    context: str | None = Field(None, description="Context of kubectl's configuration; the current one when left out.")
    namespace: DnsLabel = Field("default", description="Namespace of the job.")
    cluster_domain: DnsName = Field("cluster.local", description="Domain of the cluster's services.")
    image: str = Field(min_length=1, description="Image of the trainer (docker/Dockerfile), with its tag or digest.")
    pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    pull_secrets: list[DnsName] = Field([], description="Secrets for the image's registry, by name.")
    service_account: DnsName = Field("default", description="Service account of the pods; its token isn't mounted.")
    cpu: Cores = Field(description="Cores a machine, as request and limit.")
    memory: Memory = Field(description="Memory a machine, as request and limit; holds shared memory and scratch space in memory too.")
    gpus: NonNegativeInt = Field(0, description="GPUs a machine.")
    gpu_resource: LabelKey = Field("nvidia.com/gpu", description="What the cluster calls a GPU.")
    shared_memory: Memory = Field("2Gi", description="Size of /dev/shm, through which NCCL and the processes of a machine talk.")
    scratch: Memory = Field("10Gi", description="Size of /tmp and of the home folder, each; the rest of the image is read-only.")
    home: MountPath = Field("/home/recsys", description="Home and working folder of the processes: relative paths start here.")
    user: PositiveInt = Field(1000, description="User and group of the processes; never root.")
    output: MountPath = Field(description="Folder, on a volume, in which each job makes its own for checkpoints and results.")
    volumes: list[VolumeConfig] = Field([], description="Where logs are read and results are kept.")
    allow_host_paths: bool = Field(False, description="Admit volumes that are folders of the machines.")
    environment: dict[EnvName, str] = Field({}, description="Environment variables of every process; no secrets.")
    secrets: dict[EnvName, SecretReference] = Field({}, description="Environment variables whose values are secrets of the cluster.")
    labels: dict[LabelKey, LabelValue] = Field({}, description="Further labels, such as that of a Kueue queue.")
    annotations: dict[LabelKey, str] = Field({}, description="Annotations of the pods.")
    node_selector: dict[LabelKey, LabelValue] = Field({}, description="Labels that a machine must have.")
    tolerations: list[TolerationConfig] = Field([], description="Taints that a machine may have.")
    priority_class: DnsName | None = Field(None, description="Priority class of the pods.")
    runtime_class: DnsName | None = Field(None, description="Runtime class of the pods.")
    time_limit: PositiveInt | None = Field(None, description="Seconds after which the job is stopped for good; no limit when left out.")
    keep_seconds: NonNegativeInt | None = Field(604800, description="Seconds that an ended job stays in the cluster, with what it printed.")
    rendezvous_port: int = Field(29500, ge=1024, le=65535, description="Port at which the first machine gathers the others.")
    rendezvous_seconds: PositiveInt = Field(1800, description="Seconds that machines wait for each other: pulling an image takes minutes.")

    def run_folder(self, job_folder: Path) -> Path:
        """On the volume, by the job's name."""
        return Path(self.output) / job_folder.name

    @field_validator("secrets", mode="before")
    @classmethod
    def _secrets_are_named(cls, value: Any) -> Any:
        """Here, where the message doesn't repeat what was written."""
        for name, item in value.items() if isinstance(value, dict) else []:
            if not isinstance(item, dict):
                raise ValueError(f"a secret is named, not written: {name}: {{name: SECRET, key: KEY}} of a secret of the cluster")
        return value

    @field_validator("environment")
    @classmethod
    def _variables_hold_no_login(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if _LOGIN.search(text):
                raise ValueError(f"{name} holds an address with a password: keep it in a secret of the cluster and name that under secrets")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if double := sorted(set(self.environment) & set(self.secrets)):
            raise ValueError(f"{double[0]} is in environment and in secrets: name it once")
        paths = [volume.path for volume in self.volumes]
        if double := sorted({path for path in paths if paths.count(path) > 1}):
            raise ValueError(f"volumes: {double[0]} is mounted twice")
        if taken := sorted({"/tmp", "/dev/shm", CONFIG_FOLDER, self.home} & set(paths)):
            raise ValueError(f"volumes: {taken[0]} is the pod's own; mount it elsewhere")
        if not self.allow_host_paths and any(volume.host_path for volume in self.volumes):
            raise ValueError("volumes: a folder of the machine opens it to the job; name a claim, or set allow_host_paths: true")
        if not any(not volume.read_only and _below(self.output, volume.path) for volume in self.volumes):
            raise ValueError(f"output: {self.output} is on no volume that can be written to, so checkpoints would go with their pod")
        return self


def _below(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)
