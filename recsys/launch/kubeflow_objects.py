"""Objects of Kubeflow Trainer's API, with exactly the fields that a job uses; named as those of Kubernetes."""

from __future__ import annotations

from typing import Literal

from recsys.launch.kubernetes_objects import JobSpec, Metadata, Object
from recsys.launch.kubernetes_types import DnsLabel, JobName


class JobTemplate(Object):
    metadata: Metadata
    spec: JobSpec


class ReplicatedJob(Object):
    name: DnsLabel
    replicas: Literal[1] = 1
    template: JobTemplate


class JobSetSpec(Object):
    replicated_jobs: list[ReplicatedJob]
    ttl_seconds_after_finished: int | None = None


class JobSetTemplate(Object):
    spec: JobSetSpec


class MlPolicy(Object):
    num_nodes: int


class RuntimeSpec(Object):
    ml_policy: MlPolicy
    template: JobSetTemplate


class TrainingRuntime(Object):
    api_version: Literal["trainer.kubeflow.org/v1alpha1"] = "trainer.kubeflow.org/v1alpha1"
    kind: Literal["TrainingRuntime"] = "TrainingRuntime"
    metadata: Metadata
    spec: RuntimeSpec


class RuntimeRef(Object):
    api_group: Literal["trainer.kubeflow.org"] = "trainer.kubeflow.org"
    kind: Literal["TrainingRuntime"] = "TrainingRuntime"
    name: JobName


class Trainer(Object):
    num_nodes: int


class TrainJobSpec(Object):
    runtime_ref: RuntimeRef
    trainer: Trainer
    active_deadline_seconds: int | None = None


class TrainJob(Object):
    api_version: Literal["trainer.kubeflow.org/v1alpha1"] = "trainer.kubeflow.org/v1alpha1"
    kind: Literal["TrainJob"] = "TrainJob"
    metadata: Metadata
    spec: TrainJobSpec
