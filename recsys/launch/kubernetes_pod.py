"""The pod that a job gets on each machine: torchrun's agent as an unprivileged user, on a root file system that can't be written to."""

from __future__ import annotations

from recsys.launch import kubernetes_objects as k8s
from recsys.launch.job import Job
from recsys.launch.kubernetes_profile import CONFIG_FOLDER, JOB, KubernetesProfile, TolerationConfig, VolumeConfig

CONTAINER = "node"  # the name that Kubeflow Trainer looks for


def pod(job: Job, profile: KubernetesProfile, command: list[str], variables: dict[str, str]) -> k8s.Pod:
    """The pod of each node. command, variables: what its container runs, and in which environment, literally."""
    mounted = _volumes(job, profile)
    apart = k8s.AffinityTerm(label_selector=k8s.LabelSelector(match_labels={JOB: job.name}), topology_key="kubernetes.io/hostname")
    return k8s.Pod(
        subdomain=job.name if profile.kind == "job" else None,
        service_account_name=profile.service_account,
        # The agent kills its workers after stop_seconds, and then has to end itself.
        termination_grace_period_seconds=profile.stop_seconds + 15,
        priority_class_name=profile.priority_class,
        runtime_class_name=profile.runtime_class,
        node_selector=profile.node_selector or None,
        tolerations=[_toleration(taint) for taint in profile.tolerations] or None,
        affinity=k8s.Affinity(pod_anti_affinity=k8s.PodAntiAffinity(required=[apart])),
        image_pull_secrets=[k8s.PullSecret(name=name) for name in profile.pull_secrets] or None,
        security_context=k8s.PodSecurity(run_as_user=profile.user, run_as_group=profile.user, fs_group=profile.user),
        volumes=[volume for volume, _ in mounted],
        containers=[_container(profile, command, variables, [mount for _, mount in mounted])],
    )


def literal(text: str) -> str:
    """`text` as it must be written where Kubernetes puts the values of variables in the place of $(NAME)."""
    return text.replace("$", "$$")


def _container(profile: KubernetesProfile, command: list[str], variables: dict[str, str], mounts: list[k8s.Mount]) -> k8s.Container:
    amounts = {"cpu": profile.cpu, "memory": profile.memory} | ({profile.gpu_resource: str(profile.gpus)} if profile.gpus else {})
    return k8s.Container(
        name=CONTAINER,
        image=profile.image,
        image_pull_policy=profile.pull_policy,
        command=[literal(word) for word in command],
        working_dir=profile.home,
        env=[
            *(k8s.Env(name=name, value=literal(value)) for name, value in variables.items() if name not in profile.secrets),
            *(
                k8s.Env(name=name, value_from=k8s.EnvSource(secret_key_ref=k8s.KeyOfSecret(name=secret.name, key=secret.key)))
                for name, secret in profile.secrets.items()
            ),
        ],
        ports=[k8s.Port(name="rendezvous", container_port=profile.rendezvous_port)],
        # As much as may be used is asked for: such pods are the last to be evicted.
        resources=k8s.Resources(requests=amounts, limits=amounts),
        volume_mounts=mounts,
    )


def _volumes(job: Job, profile: KubernetesProfile) -> list[tuple[k8s.Volume, k8s.Mount]]:
    """Shared memory, scratch space, the configuration, and the profile's own."""
    shared = k8s.Volume(name="shared-memory", empty_dir=k8s.EmptyDir(medium="Memory", size_limit=profile.shared_memory))
    scratch = k8s.EmptyDir(size_limit=profile.scratch)
    config = k8s.Volume(name="configuration", config_map=k8s.ConfigMapSource(name=job.name))
    return [
        (shared, k8s.Mount(name=shared.name, mount_path="/dev/shm")),
        (k8s.Volume(name="temporary", empty_dir=scratch), k8s.Mount(name="temporary", mount_path="/tmp")),
        (k8s.Volume(name="home", empty_dir=scratch), k8s.Mount(name="home", mount_path=profile.home)),
        (config, k8s.Mount(name=config.name, mount_path=CONFIG_FOLDER, read_only=True)),
        *(_volume(number, volume) for number, volume in enumerate(profile.volumes)),
    ]


def _volume(number: int, given: VolumeConfig) -> tuple[k8s.Volume, k8s.Mount]:
    name, read_only = f"volume-{number}", given.read_only or None
    if given.claim:
        volume = k8s.Volume(name=name, persistent_volume_claim=k8s.ClaimSource(claim_name=given.claim, read_only=read_only))
    else:
        volume = k8s.Volume(name=name, host_path=k8s.HostPath(path=given.host_path or "/"))
    return volume, k8s.Mount(name=name, mount_path=given.path, sub_path=given.sub_path, read_only=read_only)


def _toleration(taint: TolerationConfig) -> k8s.Toleration:
    operator = "Exists" if taint.value is None else "Equal"
    return k8s.Toleration(key=taint.key, operator=operator, value=taint.value, effect=taint.effect)
