"""A real Slurm of two nodes on this machine: a munge, a controller and two node daemons of its own, on ports of their own.

Needs root and the packages slurm-wlm and munge. Nodes share this machine's network, or have a network namespace each with an address and a
host name of their own (which needs iproute2 and the right to make namespaces).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A requeued job waits until its old credential has expired (cred_expire, 120 seconds by default); the rest makes losses known soon.
CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}({controller})
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
CredType=cred/munge
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=10
SlurmctldTimeout=30
SlurmdTimeout=12
MessageTimeout=10
"""


def missing() -> str | None:
    """Why no cluster can be started here, in words, or None."""
    absent = [name for name in ("slurmctld", "slurmd", "sbatch", "munged") if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not found: apt-get install --no-install-recommends slurm-wlm munge"
    return None if os.geteuid() == 0 else "starting Slurm's daemons needs root"


def missing_namespaces() -> str | None:
    """Why nodes can't have network namespaces here, in words, or None."""
    if absent := [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]:
        return f"{', '.join(absent)} not found"
    tried = subprocess.run(["unshare", "--net", "--uts", "--mount", "true"], capture_output=True, text=True)
    return f"no namespaces: {tried.stderr.strip()}" if tried.returncode else None


class Cluster:
    """Two nodes of two processors each, in the partition `main`; a job in `urgent` takes them from one in `main`."""

    def __init__(self, folder: Path, *, namespaces: bool) -> None:
        self.folder = folder
        self.configuration = folder / "slurm.conf"
        self.environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        self.network = _Network(folder) if namespaces else None
        self.nodes = self.network.names if self.network else ["n1", "n2"]

    def start(self) -> None:
        """Start every daemon and wait for both nodes to be idle."""
        (self.folder / "state").mkdir()
        if self.network:
            self.network.start()
        self._write_configuration()
        self._start_munge()
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self.wait_for_nodes()

    def stop(self) -> None:
        """End all jobs and daemons; nothing of them is left."""
        with suppress(subprocess.SubprocessError):
            self.run("scancel", "--user=root", timeout=20)
            _wait(lambda: not self.run("squeue", "--noheader", timeout=20).stdout.strip(), 30, "jobs end")
        for node in self.nodes:
            self.kill_node(node)
        for daemon in ("slurmctld", "munge"):
            _end(_pid(self.folder / f"{daemon}.pid"), signal.SIGKILL)
        if self.network:
            self.network.stop()

    def run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A command of Slurm's against this cluster."""
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=self.environment)

    def wait_for_nodes(self) -> None:
        """Wait until both nodes can take jobs."""
        idle = ("sinfo", "--noheader", "--Node", "--partition=main", "--states=idle")
        _wait(lambda: self.run(*idle).stdout.count("\n") == 2, 120, "nodes are idle")

    def start_controller(self) -> None:
        subprocess.run(["slurmctld"], check=True, env=self.environment, capture_output=True)

    def stop_controller(self) -> None:
        _end(_pid(self.folder / "slurmctld.pid"), signal.SIGTERM)

    def start_node(self, node: str) -> None:
        """Start a node's daemon. It leaves this process's group, so that what it starts doesn't end with the tests' terminal."""
        place = self.network.on(node) if self.network else []
        subprocess.run([*place, "slurmd", "-N", node], check=True, env=self.environment, capture_output=True)

    def kill_node(self, node: str) -> None:
        """The node is gone: its daemon and all that runs there, without a word."""
        for process in {_pid(self.folder / f"{node}.pid"), *self._processes_of(node)}:
            _end(process, signal.SIGKILL)

    def workers_of(self, node: str) -> list[int]:
        """Process ids of the training processes on a node."""
        return [pid for pid in self._jobs_on(node) if b"\0pipelines.train\0" in _read(pid, "cmdline") and _is_rank(pid)]

    def tasks_of(self, node: str) -> list[int]:
        """Process ids of the tasks that srun started on a node."""
        return [pid for pid in self._jobs_on(node) if b"SLURM_STEP_ID=0" in _read(pid, "environ").split(b"\0") and _is_step(_parent(pid))]

    def _processes_of(self, node: str) -> set[int]:
        jobs = self._jobs_on(node)
        steps = {parent for parent in map(_parent, jobs) if _is_step(parent)}
        return jobs | steps

    def _jobs_on(self, node: str) -> set[int]:
        """Processes that jobs of this cluster have on a node."""
        marks = {f"SLURMD_NODENAME={node}".encode(), f"SLURM_CONF={self.configuration}".encode()}
        processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return {process for process in processes if marks <= set(_read(process, "environ").split(b"\0"))}

    def _write_configuration(self) -> None:
        controller = self.network.controller if self.network else "127.0.0.1"
        text = CONFIGURATION.format(host=socket.gethostname(), controller=controller, port=_free_port(), folder=self.folder)
        for node in self.nodes:
            place = f"NodeAddr={self.network.address(node)} Port=6818" if self.network else f"NodeAddr=127.0.0.1 Port={_free_port()}"
            host = "" if self.network else f"NodeHostname={socket.gethostname()} "
            text += f"NodeName={node} {host}{place} CPUs=2 RealMemory=2000 State=UNKNOWN\n"
        nodes = f"Nodes={','.join(self.nodes)} MaxTime=INFINITE State=UP"
        text += f"PartitionName=main {nodes} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=60\n"
        text += f"PartitionName=urgent {nodes} PriorityTier=2 PreemptMode=OFF\n"
        self.configuration.write_text(text)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o400)
        key.write_bytes(secrets.token_bytes(128))
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed", "key-file": "key"}
        options = [f"--{option}={self.folder}/munge.{ending}" for option, ending in files.items()]
        subprocess.run(["munged", "--force", *options], check=True, capture_output=True)


class _Network:
    """A bridge and two network namespaces, named by this process so that clusters don't meet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        number = os.getpid() % 10_000
        self.bridge = f"br{number}"
        self.names = [f"h{number}a", f"h{number}b"]
        self.subnet = f"10.{64 + number % 190}.{number // 190}"
        self.controller = f"{self.subnet}.254"

    def address(self, name: str) -> str:
        return f"{self.subnet}.{self.names.index(name) + 1}"

    def start(self) -> None:
        _ip(f"link add {self.bridge} type bridge")
        _ip(f"addr add {self.controller}/24 dev {self.bridge}")
        _ip(f"link set {self.bridge} up")
        known = {"localhost": "127.0.0.1", socket.gethostname(): self.controller, **{name: self.address(name) for name in self.names}}
        (self.folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in known.items()))
        for name in self.names:
            _ip(f"netns add {name}")
            _ip(f"link add v{name} netns {name} type veth peer name p{name}")
            _ip(f"link set p{name} master {self.bridge} up")
            _ip(f"-n {name} addr add {self.address(name)}/24 dev v{name}")
            _ip(f"-n {name} link set lo up")
            _ip(f"-n {name} link set v{name} up")

    def stop(self) -> None:
        for name in self.names:
            _ip(f"netns del {name}")
        _ip(f"link del {self.bridge}")

    def on(self, name: str) -> list[str]:
        """What comes before a command to run it on a node. Not `ip netns exec`: it hides /sys/fs/cgroup, and slurmd then dies."""
        shell = f'mount --bind {self.folder}/hosts /etc/hosts; hostname {name}; exec "$@"'
        return ["nsenter", f"--net=/run/netns/{name}", "unshare", "--uts", "--mount", "bash", "-c", shell, "_"]


@contextmanager
def cluster(*, namespaces: bool = False) -> Iterator[Cluster]:
    """A cluster while the block runs. Its folder's path is short because a socket's may have no more than 107 characters."""
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder), namespaces=namespaces)
        try:
            made.start()
            yield made
        finally:
            made.stop()


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _pid(path: Path) -> int:
    text = path.read_text().strip() if path.exists() else ""
    return int(text) if text else 0


def _end(process: int, how: signal.Signals) -> None:
    """Signal a process and wait until it is gone, with SIGKILL after 10 seconds."""
    if not process:
        return
    with suppress(ProcessLookupError):
        os.kill(process, how)
        for _ in range(100):
            os.kill(process, 0)
            time.sleep(0.1)
        os.kill(process, signal.SIGKILL)


def _read(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def _is_step(process: int) -> bool:
    return _read(process, "cmdline").startswith(b"slurmstepd")


def _is_rank(process: int) -> bool:
    return any(variable.startswith(b"LOCAL_RANK=") for variable in _read(process, "environ").split(b"\0"))


def _parent(process: int) -> int:
    fields = _read(process, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _wait(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s in vain until {what}")
        time.sleep(0.2)
