"""How a job stands, from what the cluster says of it and of its pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from recsys.launch.engine import Status

Document = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"


def status_of(owner: Document, pods: list[Document]) -> Status:
    """owner: the Job or TrainJob as the API gives it; pods: those of its nodes, also earlier ones that failed."""
    conditions = {item["type"]: item for item in owner.get("status", {}).get("conditions", []) if item["status"] == "True"}
    started = min((time for pod in pods if (time := _time(pod.get("status", {}).get("startTime")))), default=None)
    if done := conditions.get("Complete"):
        return Status("finished", started=started, ended=_time(done.get("lastTransitionTime")), exit_code=0)
    if failed := conditions.get("Failed"):
        cause, code = _cause(pods)
        detail = "; ".join(filter(None, [cause, _told(failed)]))
        return Status("failed", detail, started=started, ended=_time(failed.get("lastTransitionTime")), exit_code=code)
    if any(pod["status"].get("phase") == "Running" for pod in pods):
        waiting = _waiting(pods)
        return Status("running", f"some nodes wait: {waiting}" if waiting else "", started=started)
    held = conditions.get("Suspended")
    return Status("queued", _told(held) if held else _waiting(pods), started=None)


def _cause(pods: list[Document]) -> tuple[str, int | None]:
    """(why, exit code) of the pod that failed first among the last of each node; the others followed from it."""
    last = _last_of_each_node(pods)
    ended = [
        (state.get("finishedAt", ""), pod["metadata"]["name"], state)
        for pod in last
        for container in pod["status"].get("containerStatuses", [])
        if (state := container["state"].get("terminated")) and state["exitCode"]
    ]
    if not ended:
        evicted = [f"{pod['metadata']['name']}: {_told(pod['status'])}" for pod in last if pod["status"].get("reason")]
        return (evicted[0] if evicted else ""), None
    _, name, state = min(ended, key=lambda item: item[:2])
    if state.get("reason") == "OOMKilled":
        return f"pod {name} needed more than its memory and was killed; raise memory in the profile, or lower what the job needs", 137
    return f"pod {name} ended with exit code {state['exitCode']}", state["exitCode"]


def _last_of_each_node(pods: list[Document]) -> list[Document]:
    by_node = {
        pod["metadata"].get("labels", {}).get(INDEX, pod["metadata"]["name"]): pod
        for pod in sorted(pods, key=lambda pod: pod["metadata"].get("creationTimestamp", ""))
    }
    return list(by_node.values())


def _waiting(pods: list[Document]) -> str:
    """Why a pod doesn't start: it can't be placed, or its container can't be started."""
    for pod in pods:
        for condition in pod["status"].get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return _told(condition)
        for container in pod["status"].get("containerStatuses", []):
            if (state := container["state"].get("waiting")) and state.get("reason") != "ContainerCreating":
                return _told(state)
    return ""


def _told(item: Document) -> str:
    return ": ".join(" ".join(item[key].split()) for key in ("reason", "message") if item.get(key))


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
