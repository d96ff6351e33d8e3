"""A profile and a job for the tests of the Kubernetes engine."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.launch.job import Job
from recsys.launch.kubernetes_profile import KubernetesProfile
from recsys.launch.profile import Profile, parse_profile

KINDS: dict[str, type[Profile]] = {"kubernetes": KubernetesProfile}
CONFIG = Path("configs/demo.yaml").absolute()
OVERRIDES = [
    *(f"data.{split}=/data/demo/split={split}" for split in ("train", "valid", "test")),
    "tracking.uri=http://mlflow:5000",
]
DOCUMENT: dict[str, Any] = {
    "engine": "kubernetes",
    "namespace": "recsys",
    "image": "registry.example.com/recsys:0.1.0",
    "cpu": "4",
    "memory": "16Gi",
    "output": "/runs",
    "volumes": [{"path": "/data", "claim": "recsys-data", "read_only": True}, {"path": "/runs", "claim": "recsys-runs"}],
    "secrets": {"MLFLOW_TRACKING_PASSWORD": {"name": "mlflow", "key": "password"}},
}


def make_profile(**changes: Any) -> KubernetesProfile:
    """The profile of DOCUMENT with other values."""
    profile = parse_profile(DOCUMENT | changes, "profile.yaml", KINDS)
    assert isinstance(profile, KubernetesProfile)
    return profile


def make_job(profile: KubernetesProfile, workdir: Path, name: str = "demo", nodes: int = 2, nproc: int = 1, **changes: Any) -> Job:
    """A job of that profile, in folder jobs/NAME of `workdir`."""
    job = Job(
        name=name,
        key="0123abcd",
        config=str(CONFIG),
        overrides=OVERRIDES,
        profile=profile,
        nodes=nodes,
        nproc=nproc,
        workdir=workdir,
        created=datetime.now(UTC),
    )
    return job.model_copy(update=changes)
