"""Manifests say what they should, whatever names and values they hold, and are what the official schemas admit."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from kube_cases import make_job, make_profile
from kube_schemas import check
from pydantic import TypeAdapter, ValidationError

from recsys.config_file import parse_config
from recsys.errors import InputError
from recsys.launch import kubernetes_types as types
from recsys.launch.kubernetes import Kubernetes
from recsys.launch.kubernetes_manifest import manifest
from recsys.launch.kubernetes_pod import literal
from recsys.launch.kubernetes_profile import KubernetesProfile
from recsys.launch.kubernetes_status import status_of

CALM = settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
LABEL = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", fullmatch=True)
DNS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
KEY = st.from_regex(r"[A-Za-z0-9_.-]{1,30}", fullmatch=True)
EFFECT = st.sampled_from(["NoSchedule", "NoExecute", None])
VARIABLE = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(
    lambda name: not re.search("password|passwd|secret|token|credential|key$", name, re.IGNORECASE)
)
# What parsers of YAML take for something else than text.
TRAPS = [
    "y",
    "N",
    "on",
    "1e3",
    "0x1f",
    "012",
    "1_000",
    "12:30:45",
    "2026-01-01",
    "~",
    "null",
    "=",
    "<<",
    ".inf",
    "- a",
    "a: b",
    "a #",
    "",
    " a",
]


@st.composite
def profiles(draw: st.DrawFn) -> KubernetesProfile:
    labels = st.dictionaries(LABEL, st.one_of(st.just(""), LABEL), max_size=3)
    return make_profile(
        kind=draw(st.sampled_from(["trainjob", "job"])),
        namespace=draw(DNS),
        image=draw(st.from_regex(r"[a-z0-9./-]{1,40}(:[A-Za-z0-9._-]{1,20})?", fullmatch=True)),
        cpu=draw(st.sampled_from(["1", "0.5", "1500m", "96"])),
        memory=draw(st.sampled_from(["1Gi", "500M", "2Ti", "123456789"])),
        shared_memory=draw(st.sampled_from(["64Mi", "32Gi"])),
        gpus=draw(st.integers(0, 8)),
        environment=draw(st.dictionaries(VARIABLE, TEXT, max_size=4)),
        secrets=draw(st.dictionaries(VARIABLE, st.fixed_dictionaries({"name": DNS, "key": KEY}), max_size=3)),
        labels=draw(labels),
        annotations=draw(st.dictionaries(LABEL, TEXT, max_size=3)),
        node_selector=draw(labels),
        tolerations=draw(st.lists(st.fixed_dictionaries({"key": LABEL, "effect": EFFECT}), max_size=2)),
        pull_secrets=draw(st.lists(DNS, max_size=2, unique=True)),
        time_limit=draw(st.one_of(st.none(), st.integers(1, 10**9))),
        keep_seconds=draw(st.one_of(st.none(), st.integers(0, 10**9))),
        max_restarts=draw(st.integers(0, 100)),
    )


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


def pod_of(text: str) -> dict[str, Any]:
    spec = documents(text)[-2 if "kind: TrainJob" in text else -1]["spec"]
    job = spec["template"]["spec"]["replicatedJobs"][0]["template"]["spec"] if "mlPolicy" in spec else spec
    return job["template"]["spec"]


def expanded(text: str, variables: dict[str, str]) -> str:
    """What a container gets for `text`, by the API's reference: $(NAME) is a variable if there is one, $$ is $."""
    return re.sub(r"\$(?:(\$)|\(([^)]*)\))", lambda found: "$" if found[1] else variables.get(found[2], found[0]), text, flags=re.DOTALL)


@CALM
@given(profile=profiles(), name=st.from_regex(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?", fullmatch=True), nodes=st.integers(1, 300))
def test_every_manifest_is_what_the_official_schemas_admit(profile: KubernetesProfile, name: str, nodes: int, tmp_path: Path) -> None:
    for document in documents("---\n".join(manifest(make_job(profile, tmp_path, name, nodes), profile))):
        check(document)


def test_the_schemas_refuse_what_is_wrong(tmp_path: Path) -> None:
    """Else the test above couldn't fail."""
    for kind in ("job", "trainjob"):
        profile = make_profile(kind=kind)
        for document in documents("---\n".join(manifest(make_job(profile, tmp_path), profile))):
            check(document)
            wrong = {"data": {"a": 1}, "spec": {**document.get("spec", {}), "completions": "2", "trainer": 1, "ports": [{}], "mlPolicy": 1}}
            for change in ({"specification": {}}, wrong):
                with pytest.raises((AssertionError, ValidationError, kubernetes_validate.ValidationError)):
                    check({**document, **change})


@CALM
@given(values=st.dictionaries(VARIABLE, TEXT, min_size=1, max_size=5), others=st.dictionaries(VARIABLE, TEXT, max_size=3))
@example(values={"A": "$(HOME)", "B": "$$(HOME)", "C": "$", "D": "a$$$b$"}, others={})
@example(values={f"A{number}": text for number, text in enumerate(TRAPS)}, others={})
@example(values={"A": "several\nlines\n", "B": " \n x", "C": "\ttab", "D": "\x07\x85\u2028\ufeff", "E": "'\"\\"}, others={})
def test_a_process_gets_exactly_the_values_of_the_profile(values: dict[str, str], others: dict[str, str], tmp_path: Path) -> None:
    profile = make_profile(environment=values)
    container = pod_of(Kubernetes().render(make_job(profile, tmp_path)))["containers"][0]
    found = {item["name"]: expanded(item["value"], others) for item in container["env"] if "value" in item}
    assert found.items() >= values.items()
    assert all(isinstance(item["value"], str) for item in container["env"] if "value" in item)


def test_kubectl_reads_from_the_yaml_what_was_written_into_it(tmp_path: Path) -> None:
    """Another parser, by which YAML 1.1's odd words count."""
    texts = [*TRAPS, *(word.upper() for word in TRAPS), "a\nb", "\u2028", "ä€😀", "\x07", "$(A)"]
    many = {f"V{number}": text for number, text in enumerate(texts)}
    profile = make_profile(kind="job", environment=many, annotations={f"a{n}": text for n, text in enumerate(TRAPS)})
    text = Kubernetes().render(make_job(profile, tmp_path))
    command = ["kubectl", "label", "--local", "--filename=-", "--output=json", "--overwrite", "recsys/job=demo"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, env={**os.environ, "HOME": str(tmp_path)})
    decoder, found, rest = json.JSONDecoder(), [], done.stdout.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    assert found == documents(text)


def test_the_pods_run_without_any_privilege(tmp_path: Path) -> None:
    """What the restricted Pod Security Standard asks for, and a root file system that can't be written to."""
    for kind in ("job", "trainjob"):
        profile = make_profile(kind=kind, gpus=1)
        pod = pod_of(Kubernetes().render(make_job(profile, tmp_path)))
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not pod["automountServiceAccountToken"]
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert not any("hostPath" in volume for volume in pod["volumes"])
        kinds = {mount["mountPath"]: next(v for v in pod["volumes"] if v["name"] == mount["name"]) for mount in container["volumeMounts"]}
        assert kinds["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
        assert all("emptyDir" in kinds[path] for path in ("/tmp", profile.home))
        assert container["resources"]["limits"] == {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
        assert container["resources"]["requests"] == container["resources"]["limits"]
        (term,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["topologyKey"] == "kubernetes.io/hostname"
        assert pod["terminationGracePeriodSeconds"] > profile.stop_seconds


def test_the_pods_meet_at_the_first_one_and_train_the_resolved_configuration(tmp_path: Path) -> None:
    for kind, host in (("job", "demo-0"), ("trainjob", "demo-node-0-0")):
        profile = make_profile(kind=kind)
        text = Kubernetes().render(make_job(profile, tmp_path))
        command = pod_of(text)["containers"][0]["command"]
        assert f"--rdzv-endpoint={host}.demo.recsys.svc.cluster.local:29500" in command
        assert command[-4:] == ["pipelines.train", "/etc/recsys/config.yaml", "--output=/runs/demo", "--resume-or-start"]
        config = parse_config(yaml.safe_load(documents(text)[0]["data"]["config.yaml"]), "config.yaml")
        assert config.run.output == "/runs/demo" and config.run.name == "demo"
        assert config.data.train == ["/data/demo/split=train"]


ADMITTED = {  # the API's own rules, as its validation writes them
    types.DnsLabel: (r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", 63),
    types.JobName: (r"[a-z]([-a-z0-9]*[a-z0-9])?", 63),
    types.LabelValue: (r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", 63),
    types.EnvName: (r"[A-Za-z_][A-Za-z0-9_]*", 10**9),
    types.SecretKey: (r"[-._a-zA-Z0-9]+", 253),
}
EDGES = st.one_of(
    st.text("aZ0-._/ \n", max_size=4),
    st.integers(60, 66).map(lambda count: "a" * count),
    st.sampled_from(["a\n", "é", "a" * 253, "a" * 254]),
)


@pytest.mark.parametrize("kind", ADMITTED, ids=["label", "job", "label value", "variable", "key"])
def test_words_are_admitted_exactly_where_the_api_admits_them(kind: Any) -> None:
    pattern, longest = ADMITTED[kind]
    adapter = TypeAdapter(kind)

    @settings(deadline=None, max_examples=200)
    @given(EDGES)
    def agree(text: str) -> None:
        assert _admits(adapter, text) == (re.fullmatch(pattern, text) is not None and len(text) <= longest)

    agree()


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text("0123456789.kKMGTPEi", max_size=6), st.sampled_from(["64GB", "64 Gi", "64gi", "1e3", "0", "-1Gi", "1Gi\n"])))
def test_a_memory_quantity_is_one_of_the_api_and_not_nothing(text: str) -> None:
    quantity = r"(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?"
    if _admits(TypeAdapter(types.Memory), text):
        assert re.fullmatch(quantity, text) and re.search("[1-9]", text)
    else:
        assert not re.fullmatch(r"[1-9][0-9]*([KMGTPE]i)?", text)


def _admits(adapter: TypeAdapter[Any], text: str) -> bool:
    try:
        adapter.validate_python(text)
    except ValidationError:
        return False
    return True


@settings(deadline=None, max_examples=200)
@given(st.text("$()AB", max_size=12), st.sampled_from([{}, {"A": "x", "B": "$(A)"}]))
def test_a_literal_stays_what_it_is(text: str, variables: dict[str, str]) -> None:
    assert expanded(literal(text), variables) == text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"environment": {"MLFLOW_TRACKING_PASSWORD": "x"}}, "a secret such as MLFLOW_TRACKING_PASSWORD has no place in a profile"),
        ({"environment": {"MLFLOW_TRACKING_URI": "https://u:p@host"}}, "holds an address with a password"),
        ({"environment": {"1A": "x"}}, "with no digit first"),
        ({"secrets": {"PASSWORD": "hunter2"}}, "secrets: a secret is named, not written: PASSWORD: {name"),
        ({"volumes": [{"path": "/runs", "host_path": "/mnt"}]}, "set allow_host_paths: true"),
        ({"volumes": [{"path": "/runs", "claim": "a", "read_only": True}]}, "is on no volume that can be written to"),
        ({"volumes": [{"path": "/runs", "claim": "a"}, {"path": "/tmp", "claim": "b"}]}, "/tmp is the pod's own"),
        ({"volumes": [{"path": "/runs", "claim": "a"}, {"path": "/runs", "claim": "b"}]}, "mounted twice"),
        ({"volumes": [{"path": "/runs"}]}, "one of claim and host_path"),
        ({"memory": "16GB"}, "memory: must be bytes such as 64Gi or 500M, but is '16GB'"),
        ({"labels": {"team/": "a"}}, "labels"),
        ({"user": 0}, "user"),
        ({"memroy": "16Gi"}, "did you mean 'memory'?"),
        ({"kind": "deployment"}, "kind"),
    ],
)
def test_a_profile_that_cannot_be_is_refused_in_a_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as error:
        make_profile(**changes)
    assert told in str(error.value) and "\n" not in str(error.value)
    assert str(error.value).startswith("profile.yaml: ")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "job", "told"),
    [
        ({}, {"name": "2-demo"}, "must begin with a letter"),
        ({}, {"name": "a" * 48, "nodes": 20}, "at most 47"),
        ({"gpus": 4}, {"nproc": 2}, "needs one GPU of its own"),
        ({}, {"overrides": ["data.train=data/demo", "tracking.enabled=false"]}, "data.train: data/demo is on no volume of the profile"),
        ({}, {"warm_start": "runs/yesterday"}, "--warm-start: runs/yesterday is on no volume of the profile"),
        ({}, {"overrides": ["data.train=/data/a", "data.valid=/data/b", "data.test=[]"]}, "sqlite:///mlflow.db would lie in a pod"),
    ],
)
def test_a_job_that_cannot_work_in_pods_is_refused(changes: dict[str, Any], job: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        Kubernetes().check(make_job(make_profile(**changes), tmp_path, **job))
    assert told in str(error.value)


def test_a_folder_of_the_machine_is_mounted_where_that_is_asked_for(tmp_path: Path) -> None:
    profile = make_profile(allow_host_paths=True, volumes=[{"path": "/runs", "host_path": "/mnt/runs"}])
    pod = pod_of(Kubernetes().render(make_job(profile, tmp_path)))
    assert pod["volumes"][-1]["hostPath"] == {"path": "/mnt/runs", "type": "Directory"}


def _pod(name: str, index: str, phase: str, **state: Any) -> dict[str, Any]:
    container = {"containerStatuses": [{"state": state}]} if state else {}
    return {
        "metadata": {"name": name, "labels": {"batch.kubernetes.io/job-completion-index": index}, "creationTimestamp": name[-1]},
        "status": {"phase": phase, **container},
    }


def test_a_status_tells_which_pod_failed_first_of_the_last_ones() -> None:
    pods = [
        _pod("demo-0-1", "0", "Failed", terminated={"exitCode": 1, "finishedAt": "2026-01-01T00:00:01Z"}),
        _pod("demo-0-2", "0", "Failed", terminated={"exitCode": 1, "finishedAt": "2026-01-01T00:00:09Z"}),
        _pod("demo-1-2", "1", "Failed", terminated={"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-01T00:00:08Z"}),
    ]
    failed = {"type": "Failed", "status": "True", "reason": "MaxFailedIndexesExceeded", "lastTransitionTime": "2026-01-01T00:00:10Z"}
    found = status_of({"status": {"conditions": [failed]}}, pods)
    assert (found.state, found.exit_code) == ("failed", 137)
    assert "pod demo-1-2 needed more than its memory" in found.detail and "MaxFailedIndexesExceeded" in found.detail
