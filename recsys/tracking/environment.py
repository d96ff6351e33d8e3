"""Where and with what a job runs, as tags of its run."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib import metadata

# Set by `recsys launch`: the job's name, engine, the engine's id of it, and its folder.
JOB = {"job.name": "RECSYS_JOB_NAME", "job.engine": "RECSYS_JOB_ENGINE", "job.id": "RECSYS_JOB_ID", "job.folder": "RECSYS_JOB_FOLDER"}
PACKAGES = ("recsys-emtl", "torch", "torchrec", "fbgemm-gpu", "fbgemm-gpu-cpu", "mlflow", "pyarrow", "numpy")


def environment_tags() -> dict[str, str]:
    """Host, world size, versions, the launched job, and the commit of the working folder where that is a repository."""
    tags = {
        "host": socket.gethostname(),
        "world_size": os.environ.get("WORLD_SIZE", "1"),
        "version.python": platform.python_version(),
    }
    tags |= {tag: os.environ[variable] for tag, variable in JOB.items() if variable in os.environ}
    return tags | {f"version.{package}": version for package, version in package_versions().items()} | git_tags()


def package_versions() -> dict[str, str]:
    """Versions of those of PACKAGES that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_tags() -> dict[str, str]:
    """The commit, and whether tracked files differ from it; nothing outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "git.changed": str(bool(changed)).lower()}


def _git(*arguments: str) -> str:
    try:
        answer = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
