"""The agent ends with one line and an exit code that say what became of it, where torchrun's own are a traceback and 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

TELLS = """import sys
from recsys import errors
from recsys.training.launcher import exit_code, report_failure
kind, told, attempts = sys.argv[1:]
open(attempts, "a").write("x")
error = getattr(errors, kind)(told)
report_failure(error)
sys.exit(exit_code(error))"""


def teller(kind: str, told: str, attempts: Path) -> list[str]:
    """A worker that ends with such an error, and leaves a letter in a file."""
    return [sys.executable, "-c", TELLS, kind, told, str(attempts)]


ENDS = [  # a worker -> exit code, line
    (teller("Stopped", "at step 7", Path(os.devnull)), 75, "stopped: at step 7"),
    (["sh", "-c", "kill -9 $$$$"], 1, "failed: rank 0 was killed by SIGKILL (out of memory?); --resume goes on from the last checkpoint"),
]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "recsys.launch.torchrun", "--nproc-per-node=1", "--local-addr=localhost", "--no-python", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TORCH_CPP_LOG_LEVEL": "ERROR"})


def start_worker(command: list[str]) -> subprocess.Popen[str]:
    return start("--standalone", "--shutdown-timeout=10", *command)


def test_what_became_of_an_agent_is_told_in_a_line_and_an_exit_code(tmp_path: Path) -> None:
    agents = [start_worker(command) for command, _, _ in ENDS]
    stopped = start_worker(["sh", "-c", f"trap 'exit 0' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done"])
    alone = ["--nnodes=2", "--rdzv-backend=c10d", "--rdzv-id=x"]
    lonely = start(*alone, "--rdzv-endpoint=localhost:0", "--rdzv-conf=join_timeout=2", "true")
    lost = start(*alone, "--rdzv-endpoint=127.0.0.1:9", "--rdzv-conf=read_timeout=2,is_host=0", "true")
    for agent, (_, code, line) in zip(agents, ENDS, strict=True):
        _, told = agent.communicate(timeout=120)
        assert (agent.returncode, told) == (code, f"{line}\n")
    deadline = time.monotonic() + 60
    while not (tmp_path / "up").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    stopped.send_signal(signal.SIGTERM)
    assert stopped.communicate(timeout=60)[1].endswith("stopped: by SIGTERM; started again it goes on from the last checkpoint\n")
    assert stopped.returncode == 75
    assert "\nfailed: of 2 machines not all came to localhost:0 in time; " in "\n" + lonely.communicate(timeout=60)[1]
    assert "\nfailed: 127.0.0.1:9 can't be reached: the first machine isn't up" in lost.communicate(timeout=60)[1]
    assert lonely.returncode == lost.returncode == 1


def test_bad_input_is_not_tried_again(tmp_path: Path) -> None:
    agents = {
        kind: start("--standalone", "--max-restarts=2", *teller(kind, "so it is", tmp_path / kind)) for kind in ("InputError", "JobError")
    }
    ended = {kind: (agent.communicate(timeout=120)[1], agent.returncode) for kind, agent in agents.items()}
    assert ended == {"InputError": ("error: so it is\n", 2), "JobError": ("failed: so it is\n", 1)}
    assert {kind: len((tmp_path / kind).read_text()) for kind in agents} == {"InputError": 1, "JobError": 3}
