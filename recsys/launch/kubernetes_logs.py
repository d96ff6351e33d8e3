"""What the pods of a job print, put together."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Callable, Iterator

from recsys.launch.job import Job
from recsys.launch.kubernetes_client import Kubectl
from recsys.launch.logs import agent_file

PREFIX = "[rank ${rank}] "  # of torchrun's, for each line of a worker
_RANK = re.compile(r"\[rank (\d+)\] ")
_INTERVAL = 2.0  # seconds between looks for new pods


def keep(job: Job, client: Kubectl, selector: str) -> None:
    """Write what the pods have printed into the job's folder, in a file a rank and one of the agents, because it goes with the pods."""
    lines: dict[int | None, list[str]] = {}
    for line in lines_now(client, selector):
        rank, text = split(line)
        lines.setdefault(rank, []).append(text)
    for rank, texts in lines.items():
        (agent_file(job) if rank is None else job.log_file(rank)).write_text("".join(texts))


def split(line: str) -> tuple[int | None, str]:
    """(rank, what it printed); no rank for what the agent itself printed."""
    found = _RANK.match(line)
    return (int(found[1]), line[found.end() :]) if found else (None, line)


def lines_now(client: Kubectl, selector: str) -> Iterator[str]:
    """The lines of all pods so far, pod after pod, the oldest first."""
    for pod in _started(client, selector):
        yield from client.lines("logs", pod)


def lines_to_come(client: Kubectl, selector: str, over: Callable[[], bool]) -> Iterator[str]:
    """The lines of all pods, also of those that take another's place, as they come, until `over()`."""
    arrived: queue.Queue[str] = queue.Queue()
    readers: dict[str, threading.Thread] = {}
    while True:
        ended = over()  # asked before looking for pods: what was printed before the end is read
        for pod in _started(client, selector):
            if pod not in readers:
                readers[pod] = threading.Thread(target=_read, args=(client, pod, arrived), daemon=True)
                readers[pod].start()
        if ended:
            for reader in readers.values():
                reader.join()
        yield from _arrived(arrived, 0.0 if ended else _INTERVAL)
        if ended:
            return


def _read(client: Kubectl, pod: str, arrived: queue.Queue[str]) -> None:
    for line in client.lines("logs", "--follow", pod):
        arrived.put(line)


def _arrived(lines: queue.Queue[str], seconds: float) -> Iterator[str]:
    """What is there, and what comes while nothing stops for `seconds`."""
    try:
        while True:
            yield lines.get(timeout=seconds) if seconds else lines.get_nowait()
    except queue.Empty:
        return


def _started(client: Kubectl, selector: str) -> list[str]:
    """`pod/NAME` of those whose container runs or has run, the oldest first."""
    pods = [pod for pod in client.get("pods", selector) if any(_has_run(item) for item in pod["status"].get("containerStatuses", []))]
    return [f"pod/{pod['metadata']['name']}" for pod in sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])]


def _has_run(container: dict[str, dict[str, object]]) -> bool:
    return bool({"running", "terminated"} & set(container["state"]))
