"""From a job to the objects that Kubernetes is given."""

from __future__ import annotations

import re

import yaml

from recsys.config_file import FILE_NAME, dump_config
from recsys.errors import InputError
from recsys.launch import kubeflow_objects as kubeflow
from recsys.launch import kubernetes_objects as k8s
from recsys.launch.agent import ENGINE_ID, agent_options, environment, worker_command
from recsys.launch.job import Job
from recsys.launch.kubernetes_logs import PREFIX
from recsys.launch.kubernetes_pod import CONTAINER, pod
from recsys.launch.kubernetes_profile import CONFIG_FOLDER, JOB, KubernetesProfile

_LARGEST_CONFIG = 1_000_000  # bytes; a ConfigMap holds 1 MiB
_BAD_INPUT, _TRY_AGAIN = 2, 75


def manifest(job: Job, profile: KubernetesProfile) -> list[str]:
    """The YAML documents of a job, in the order in which they must be created."""
    return [to_yaml(item) for item in objects(job, profile)]


def objects(job: Job, profile: KubernetesProfile) -> list[k8s.Object]:
    """The job's configuration, then what runs it: a service and an indexed Job, or a TrainingRuntime and the TrainJob that refers to it."""
    labels = {**profile.labels, "app.kubernetes.io/name": "recsys", "app.kubernetes.io/managed-by": "recsys", JOB: job.name}
    metadata = k8s.Metadata(name=job.name, namespace=profile.namespace, labels=labels)
    config = k8s.ConfigMap(metadata=metadata, data={FILE_NAME: _config(job)})
    spec = _job(job, profile, labels)
    if profile.kind == "job":
        return [config, _service(job, profile, metadata), k8s.Job(metadata=metadata, spec=spec)]
    return [config, _runtime(job, profile, metadata, spec), _train_job(job, profile, metadata)]


def engine_id(job: Job, profile: KubernetesProfile) -> str:
    """What kubectl calls the job, and where."""
    return f"{profile.kind}/{job.name} in {profile.namespace}"


def first_host(job: Job, profile: KubernetesProfile) -> str:
    """The name of the first pod, in full: its own hosts file has it before the cluster's DNS does."""
    pod_name = f"{job.name}-0" if profile.kind == "job" else f"{job.name}-{CONTAINER}-0-0"
    return f"{pod_name}.{job.name}.{profile.namespace}.svc.{profile.cluster_domain}"


def to_yaml(item: k8s.Object) -> str:
    """An object as YAML that every parser reads alike."""
    return yaml.dump(item.document(), Dumper=_Dumper, sort_keys=False, width=140, allow_unicode=True)


def _config(job: Job) -> str:
    text = dump_config(job.resolve())
    if len(text.encode()) > _LARGEST_CONFIG:
        raise InputError(f"{job.config}: has {len(text.encode()):,} bytes once resolved, and a ConfigMap holds {_LARGEST_CONFIG:,}")
    return text


def _service(job: Job, profile: KubernetesProfile, metadata: k8s.Metadata) -> k8s.Service:
    """Gives each pod a name of its own. A TrainJob brings its own service."""
    port = k8s.ServicePort(name="rendezvous", port=profile.rendezvous_port)
    return k8s.Service(metadata=metadata, spec=k8s.ServiceSpec(selector={JOB: job.name}, ports=[port]))


def _runtime(job: Job, profile: KubernetesProfile, metadata: k8s.Metadata, spec: k8s.JobSpec) -> kubeflow.TrainingRuntime:
    """A runtime of the job's own, because a TrainJob can't change everything that matters in someone else's."""
    step = k8s.Metadata(labels={"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"})
    nodes = kubeflow.ReplicatedJob(name=CONTAINER, template=kubeflow.JobTemplate(metadata=step, spec=spec))
    jobs = kubeflow.JobSetSpec(replicated_jobs=[nodes], ttl_seconds_after_finished=profile.keep_seconds)
    runtime = kubeflow.RuntimeSpec(ml_policy=kubeflow.MlPolicy(num_nodes=job.nodes), template=kubeflow.JobSetTemplate(spec=jobs))
    return kubeflow.TrainingRuntime(metadata=metadata, spec=runtime)


def _train_job(job: Job, profile: KubernetesProfile, metadata: k8s.Metadata) -> kubeflow.TrainJob:
    spec = kubeflow.TrainJobSpec(
        runtime_ref=kubeflow.RuntimeRef(name=job.name),
        trainer=kubeflow.Trainer(num_nodes=job.nodes),
        active_deadline_seconds=profile.time_limit,
    )
    return kubeflow.TrainJob(metadata=metadata, spec=spec)


def _job(job: Job, profile: KubernetesProfile, labels: dict[str, str]) -> k8s.JobSpec:
    alone = profile.kind == "job"  # a TrainJob has the limits of the whole itself
    return k8s.JobSpec(
        completions=job.nodes,
        parallelism=job.nodes,
        backoff_limit_per_index=profile.max_restarts,
        pod_failure_policy=_failure_policy(),
        active_deadline_seconds=profile.time_limit if alone else None,
        ttl_seconds_after_finished=profile.keep_seconds if alone else None,
        template=k8s.PodTemplate(
            metadata=k8s.Metadata(labels=labels, annotations=profile.annotations or None),
            spec=pod(job, profile, _command(job, profile), _variables(job, profile)),
        ),
    )


def _failure_policy() -> k8s.PodFailurePolicy:
    """Bad input ends the job. A pod that was sent away, or says "try again", is replaced without counting as a failure."""
    return k8s.PodFailurePolicy(
        rules=[
            k8s.FailureRule(action="FailJob", on_exit_codes=k8s.ExitCodes(container_name=CONTAINER, values=[_BAD_INPUT])),
            k8s.FailureRule(action="Ignore", on_exit_codes=k8s.ExitCodes(container_name=CONTAINER, values=[_TRY_AGAIN])),
            k8s.FailureRule(action="Ignore", on_pod_conditions=[k8s.PodCondition(type="DisruptionTarget")]),
        ]
    )


def _command(job: Job, profile: KubernetesProfile) -> list[str]:
    wait = profile.rendezvous_seconds
    return [
        *("python", "-m", "recsys.launch.torchrun"),
        *agent_options(job),
        f"--rdzv-id={job.key}",
        f"--rdzv-endpoint={first_host(job, profile)}:{profile.rendezvous_port}",
        f"--rdzv-conf=join_timeout={wait},read_timeout={wait}",
        "--log-dir=/tmp/agent",
        # Each line of the pod's log says which process printed it.
        "--tee=3",
        *worker_command(job, f"{CONFIG_FOLDER}/{FILE_NAME}", job.output),
    ]


def _variables(job: Job, profile: KubernetesProfile) -> dict[str, str]:
    return {
        "HOME": profile.home,
        # The machine has more cores than the pod.
        "OMP_NUM_THREADS": str(max(1, int(_number_of(profile.cpu)) // job.nproc)),
        "TORCHELASTIC_LOG_LINE_PREFIX_TEMPLATE": PREFIX,
        ENGINE_ID: engine_id(job, profile),
        **environment(job),
    }


def _number_of(cores: str) -> float:
    return float(cores.removesuffix("m")) / (1000 if cores.endswith("m") else 1)


_PLAIN = re.compile(r"[A-Za-z/_][A-Za-z0-9/_. -]*[A-Za-z0-9/_]")
_WORDS = {"true", "false", "yes", "no", "on", "off", "null"}


class _Dumper(yaml.SafeDumper):
    """Writes plainly only what no version of YAML takes for anything but text, and never abbreviates."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    style = None if plain else "|" if "\n" in text else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
