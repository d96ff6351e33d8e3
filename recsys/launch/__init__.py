"""Starting jobs on engines. Nothing here supervises, schedules or restarts: torchrun, Slurm and Kubernetes do."""

from __future__ import annotations

from recsys.launch.engine import Engine
from recsys.launch.kubernetes import Kubernetes
from recsys.launch.local import Local
from recsys.launch.profile import Profile
from recsys.launch.slurm import Slurm

ENGINES: dict[str, Engine] = {
    "kubernetes": Kubernetes(),
    "local": Local(),
    "slurm": Slurm(),
}
PROFILES: dict[str, type[Profile]] = {name: engine.profile for name, engine in ENGINES.items()}
