"""What the steps say of themselves, without making the device wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

import emtl
from recsys.errors import JobError


@dataclass
class _Sent:
    step: int
    values: Tensor
    equity: Tensor | None
    failures: Tensor | None
    event: torch.cuda.Event | None


class Telemetry:
    """Brings each step's losses and weights to the host and stops the job when a loss is not finite.

    On a GPU the values are copied asynchronously and looked at one step later, so that no step waits for the device; `flush` looks at
    all of them, and has to be called before anything is saved. Losses and weights are global, so every rank stops at the same step.

    stop: whether any rank was told to stop in a step that was looked at; the same on every rank.
    """

    def __init__(self, tasks: list[str], window: int = 10) -> None:
        self.tasks = tasks
        self.stop = False
        self._sent: deque[_Sent] = deque()
        self._recent: deque[Tensor] = deque(maxlen=window)
        self._told: dict[str, float] = {}

    def push(
        self,
        step: int,
        losses: Tensor,
        weights: Tensor,
        gram: Tensor | None = None,
        failures: Tensor | None = None,
        stops: Tensor | None = None,
    ) -> None:
        """Note step `step` with (K,) losses, (K,) weights, () the number of ranks that were told to stop and, where it is told, the (K,
        K) Gram matrix and the count of failed solves.

        Raises JobError naming task and step.
        """
        told = losses.new_zeros(1) if stops is None else stops.view(1)
        values = torch.cat([losses.double(), weights.double(), told.double()])
        equity = None if gram is None else _flat(emtl.equity(losses, gram, weights))
        event = None
        if values.is_cuda:
            values = values.to("cpu", non_blocking=True)
            equity = None if equity is None else equity.to("cpu", non_blocking=True)
            failures = None if failures is None else failures.to("cpu", non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._sent.append(_Sent(step, values, equity, failures, event))
        self._look(keep=1 if event else 0)

    def flush(self) -> None:
        """Look at everything that was pushed."""
        self._look(keep=0)

    def metrics(self) -> dict[str, float]:
        """`TASK/loss` and `TASK/weight`, means over the last steps, and the equity and failures last told."""
        if not self._recent:
            return {}
        losses, weights = torch.stack(list(self._recent)).mean(dim=0).tolist()
        named = {f"{task}/loss": value for task, value in zip(self.tasks, losses, strict=True)}
        return named | {f"{task}/weight": value for task, value in zip(self.tasks, weights, strict=True)} | self._told

    def _look(self, keep: int) -> None:
        while len(self._sent) > keep:
            sent = self._sent.popleft()
            if sent.event is not None:
                sent.event.synchronize()
            values, stops = sent.values[:-1].view(2, -1), sent.values[-1]
            self._check(sent.step, values)
            self._recent.append(values)
            self.stop |= bool(stops)
            if sent.equity is not None:
                self._told |= dict(zip(equity_names(self.tasks), sent.equity.tolist(), strict=True))
            if sent.failures is not None:
                self._told["mto/failures"] = float(sent.failures)

    def to_json(self) -> dict[str, Any]:
        """What the next means are made of, for `from_json`."""
        return {"recent": [values.tolist() for values in self._recent], "told": self._told}

    def from_json(self, state: dict[str, Any]) -> None:
        """Take over what `to_json` gave."""
        self._recent.extend(torch.tensor(values, dtype=torch.float64) for values in state["recent"])
        self._told |= state["told"]

    def _check(self, step: int, values: Tensor) -> None:
        finite = torch.isfinite(values).all(dim=0).tolist()
        wrong = [task for task, good in zip(self.tasks, finite, strict=True) if not good]
        if wrong:
            raise JobError(
                f"the loss of {', '.join(wrong)} is not finite in step {step}: lower train.dense.learning_rate or "
                "train.sparse.learning_rate, or look for extreme numbers in the log; the last checkpoint is untouched"
            )


def equity_names(tasks: list[str]) -> list[str]:
    """The metrics of an `emtl.Equity`."""
    by_task = [f"{task}/{quantity}" for quantity in ("contribution", "share", "gradient_norm") for task in tasks]
    return [*by_task, "mto/contribution_variance", "mto/conflict", *cosine_names(tasks)]


def cosine_names(tasks: list[str]) -> list[str]:
    """`mto/cosine/A-B` of each pair of tasks."""
    return [f"mto/cosine/{first}-{second}" for first, second in combinations(tasks, 2)]


def _flat(equity: emtl.Equity) -> Tensor:
    """The values of `equity_names`, in one vector."""
    pairs = torch.triu_indices(len(equity.norms), len(equity.norms), offset=1, device=equity.norms.device)
    single = torch.stack([equity.variance, equity.conflict])
    return torch.cat([equity.contributions, equity.shares, equity.norms, single, equity.cosines[pairs[0], pairs[1]]])
