"""Objects of Kubernetes' own API, with exactly the fields that a job uses.

Attributes are named as in the API's reference, in snake case. An unset field is left out of the manifest.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from recsys.launch.kubernetes_types import Cores, DnsLabel, DnsName, EnvName, JobName, LabelKey, LabelValue, Memory, MountPath, SecretKey


class Object(BaseModel):
    """Base of all: nothing but the fields named, written in camel case."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)

    def document(self) -> dict[str, Any]:
        """What the API takes as JSON."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Metadata(Object):
    name: DnsName | None = None
    namespace: DnsLabel | None = None
    labels: dict[LabelKey, LabelValue] | None = None
    annotations: dict[LabelKey, str] | None = None


class KeyOfSecret(Object):
    name: DnsName
    key: SecretKey


class EnvSource(Object):
    secret_key_ref: KeyOfSecret


class Env(Object):
    name: EnvName
    value: str | None = None
    value_from: EnvSource | None = None


class EmptyDir(Object):
    medium: Literal["Memory"] | None = None
    size_limit: Memory


class ConfigMapSource(Object):
    name: JobName


class ClaimSource(Object):
    claim_name: DnsName
    read_only: bool | None = None


class HostPath(Object):
    path: MountPath
    type: Literal["Directory"] = "Directory"


class Volume(Object):
    name: DnsLabel
    empty_dir: EmptyDir | None = None
    config_map: ConfigMapSource | None = None
    persistent_volume_claim: ClaimSource | None = None
    host_path: HostPath | None = None


class Mount(Object):
    name: DnsLabel
    mount_path: MountPath
    sub_path: str | None = None
    read_only: bool | None = None


class Resources(Object):
    requests: dict[str, Cores | Memory]
    limits: dict[str, Cores | Memory]


class Capabilities(Object):
    drop: list[Literal["ALL"]] = ["ALL"]


class ContainerSecurity(Object):
    allow_privilege_escalation: Literal[False] = False
    read_only_root_filesystem: Literal[True] = True
    capabilities: Capabilities = Capabilities()


class Port(Object):
    name: DnsLabel
    container_port: int
    protocol: Literal["TCP"] = "TCP"


class Container(Object):
    name: DnsLabel
    image: str
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"]
    command: list[str]
    working_dir: MountPath
    env: list[Env]
    ports: list[Port]
    resources: Resources
    security_context: ContainerSecurity = ContainerSecurity()
    volume_mounts: list[Mount]


class Seccomp(Object):
    type: Literal["RuntimeDefault"] = "RuntimeDefault"


class PodSecurity(Object):
    run_as_non_root: Literal[True] = True
    run_as_user: int
    run_as_group: int
    fs_group: int
    # A claim with millions of files is not walked through at every start.
    fs_group_change_policy: Literal["OnRootMismatch"] = "OnRootMismatch"
    seccomp_profile: Seccomp = Seccomp()


class Toleration(Object):
    key: LabelKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class LabelSelector(Object):
    match_labels: dict[LabelKey, LabelValue]


class AffinityTerm(Object):
    label_selector: LabelSelector
    topology_key: LabelKey


class PodAntiAffinity(Object):
    required: list[AffinityTerm] = Field(alias="requiredDuringSchedulingIgnoredDuringExecution")


class Affinity(Object):
    pod_anti_affinity: PodAntiAffinity


class PullSecret(Object):
    name: DnsName


class Pod(Object):
    restart_policy: Literal["Never"] = "Never"
    subdomain: JobName | None = None
    service_account_name: DnsName
    # Training asks nothing of the cluster's API.
    automount_service_account_token: Literal[False] = False
    # Else every service of the namespace becomes variables of the job.
    enable_service_links: Literal[False] = False
    # The container's first process is then an ordinary one: SIGTERM ends it also before torchrun has a handler, and orphans are reaped.
    share_process_namespace: Literal[True] = True
    termination_grace_period_seconds: int
    priority_class_name: DnsName | None = None
    runtime_class_name: DnsName | None = None
    node_selector: dict[LabelKey, LabelValue] | None = None
    tolerations: list[Toleration] | None = None
    affinity: Affinity | None = None
    image_pull_secrets: list[PullSecret] | None = None
    security_context: PodSecurity
    volumes: list[Volume]
    containers: list[Container]


class PodTemplate(Object):
    metadata: Metadata
    spec: Pod


class ExitCodes(Object):
    container_name: DnsLabel
    operator: Literal["In"] = "In"
    values: list[int]


class PodCondition(Object):
    type: str
    status: Literal["True"] = "True"


class FailureRule(Object):
    action: Literal["FailJob", "Ignore"]
    on_exit_codes: ExitCodes | None = None
    on_pod_conditions: list[PodCondition] | None = None


class PodFailurePolicy(Object):
    rules: list[FailureRule]


class JobSpec(Object):
    completion_mode: Literal["Indexed"] = "Indexed"
    completions: int
    parallelism: int
    backoff_limit_per_index: int
    max_failed_indexes: int = 0
    pod_failure_policy: PodFailurePolicy
    # A node's next pod starts when its last one has ended, checkpoint and all.
    pod_replacement_policy: Literal["Failed"] = "Failed"
    active_deadline_seconds: int | None = None
    ttl_seconds_after_finished: int | None = None
    template: PodTemplate


class Job(Object):
    api_version: Literal["batch/v1"] = "batch/v1"
    kind: Literal["Job"] = "Job"
    metadata: Metadata
    spec: JobSpec


class ConfigMap(Object):
    api_version: Literal["v1"] = "v1"
    kind: Literal["ConfigMap"] = "ConfigMap"
    metadata: Metadata
    immutable: Literal[True] = True
    data: dict[SecretKey, str]


class ServicePort(Object):
    name: DnsLabel
    port: int


class ServiceSpec(Object):
    cluster_ip: Literal["None"] = Field("None", alias="clusterIP")
    # The nodes look for each other before any of them is ready.
    publish_not_ready_addresses: Literal[True] = True
    selector: dict[LabelKey, LabelValue]
    ports: list[ServicePort]


class Service(Object):
    api_version: Literal["v1"] = "v1"
    kind: Literal["Service"] = "Service"
    metadata: Metadata
    spec: ServiceSpec
