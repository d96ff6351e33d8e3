"""When a balancer solves, and the reduction over ranks that may still be under way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from emtl import validate
from emtl.strategy import scaled

PREFIX = "schedule."


class Schedule:
    """Which steps are measured, and the weights of the others.

    The weights of a step that doesn't use its own are those of the last solve, scaled to sum K. A task that was absent from that
    solve has its weight of the last one that saw it; before any solve, every weight is 1.

    Args:
        tasks: K.
        every: steps from one solve to the next.
        lagged: whether a solve's weights are used from the next step on.
    """

    def __init__(self, tasks: int, every: int, lagged: bool) -> None:
        self.every = validate.integer("every", every, 1)
        if not isinstance(lagged, bool):
            raise ValueError(f"lagged must be true or false, but got {lagged!r}")
        self.lagged = lagged
        self.held = torch.ones(tasks, dtype=torch.float64)
        self.steps = 0

    @property
    def holds(self) -> bool:
        """Whether any step uses weights of an earlier one."""
        return self.lagged or self.every > 1

    def begin(self) -> bool:
        """Count a step; whether it is one of those that are measured."""
        self.steps += 1
        return (self.steps - 1) % self.every == 0

    def hold(self, weights: Tensor, present: Tensor) -> None:
        """Keep the (K,) weights of a solve, of the tasks present."""
        held = torch.where(present & weights.isfinite(), weights, self.held.to(weights.device))
        self.held = scaled(held, torch.ones_like(present))

    def state_dict(self) -> dict[str, Any]:
        """Tensors by name; empty where nothing is held."""
        if not self.holds:
            return {}
        return {f"{PREFIX}weights": self.held, f"{PREFIX}steps": torch.tensor(self.steps)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; RuntimeError if it is that of another schedule."""
        if state.keys() != self.state_dict().keys():
            raise RuntimeError(f"the state holds {sorted(state)} of a schedule, but {sorted(self.state_dict())} are needed")
        if self.holds:
            self.held, self.steps = state[f"{PREFIX}weights"].clone(), int(state[f"{PREFIX}steps"])


class Measurement:
    """What a step measured, over all ranks: losses (mean), Gram matrix (sum / W^2), sums over rows (sum / W), in one all-reduce.

    The all-reduce starts at once and is waited for when a value is asked for.
    """

    def __init__(self, losses: Tensor, gram: Tensor | None, features: Tensor | None, group: dist.ProcessGroup | None) -> None:
        self._parts = [losses.double(), gram, features]
        self._numbers: Tensor | None = None
        self._work: dist.Work | None = None
        if group is not None:
            self._world = dist.get_world_size(group)
            self._numbers = torch.cat([part.double().flatten() for part in self._parts if part is not None])
            self._work = dist.all_reduce(self._numbers, group=group, async_op=True)

    @property
    def losses(self) -> Tensor:
        """(K,) global losses."""
        found = self._reduced()[0]
        assert found is not None
        return found

    @property
    def gram(self) -> Tensor | None:
        """(K, K) global Gram matrix, if it was formed."""
        return self._reduced()[1]

    @property
    def features(self) -> Tensor | None:
        """(K, F) global sums over rows, if they were formed."""
        return self._reduced()[2]

    def _reduced(self) -> list[Tensor | None]:
        if self._numbers is not None:
            if self._work is not None:
                self._work.wait()
            present = [part for part in self._parts if part is not None]
            pieces = iter(self._numbers.split([part.numel() for part in present]))
            divisors = (self._world, self._world**2, self._world)
            self._parts = [
                None if part is None else (next(pieces) / divisor).view_as(part)
                for part, divisor in zip(self._parts, divisors, strict=True)
            ]
            self._numbers, self._work = None, None
        return self._parts
