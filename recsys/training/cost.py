"""What training costs: time, processor time and memory."""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from recsys.distributed import World


@dataclass
class Pace:
    """Adds up the time in steps (reading included; evaluations and checkpoints not) and what was done in it, on one rank.

    Part of a checkpoint as rank 0 has it, so that it covers a job that was resumed.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0
    samples: int = 0
    _since: tuple[float, float] = field(default=(0.0, 0.0), init=False)

    def start(self) -> None:
        """From here on."""
        self._since = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """Up to here."""
        self.seconds += time.perf_counter() - self._since[0]
        self.cpu_seconds += time.process_time() - self._since[1]

    def count(self, rows: int) -> None:
        """A step over `rows` rows of all ranks."""
        self.steps += 1
        self.samples += rows

    def to_json(self) -> dict[str, Any]:
        """For `Pace(**fields)`."""
        return {name: value for name, value in asdict(self).items() if name != "_since"}

    @property
    def samples_per_second(self) -> float:
        """Rows a second over all ranks; NaN before the first stop."""
        return self.samples / self.seconds if self.seconds else float("nan")


def cost(pace: Pace, world: World) -> dict[str, Any]:
    """Seconds a step by this rank's clock, processor seconds over all ranks, bytes at the peak of the rank with the most. Collective."""
    resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    on_device = torch.cuda.max_memory_allocated() if world.device.type == "cuda" else 0
    own = torch.tensor([pace.cpu_seconds, resident, on_device], dtype=torch.float64, device=world.device)
    ranks = [torch.empty_like(own) for _ in range(world.size)]
    dist.all_gather(ranks, own, group=world.group)
    cpu, memory, device_memory = torch.stack(ranks).T.tolist()
    steps = max(pace.steps, 1)
    return {
        "seconds_per_step": pace.seconds / steps,
        "cpu_seconds_per_step": sum(cpu) / steps,
        "peak_memory_bytes": int(max(memory)),
        "peak_device_memory_bytes": int(max(device_memory)),
    }
