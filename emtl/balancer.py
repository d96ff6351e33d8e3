"""What a training loop holds: a strategy, where it looks at gradients, and the process group it agrees in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from emtl import validate
from emtl.fork import Fork, Step, Total
from emtl.parameters import parameter_gram
from emtl.schedule import PREFIX, Measurement, Schedule
from emtl.shaping import Shaping
from emtl.strategy import Needs, Strategy, present_tasks

SCOPES = ("representation", "parameters")


class Balancer:
    """Weighs the tasks of a multi-task model within its one ordinary backward.

    A step is: in the forward pass, `fork` where the shared network ends; then `total(losses).backward()`. In that backward the
    fork receives the K gradients of the shared tensors, the strategy turns their Gram matrix and the losses into weights, and
    only the weighted sum goes on into the shared network. Each task's own part receives its raw gradient.

    The global loss is the mean over ranks of the ranks' losses, as for DDP: a loss that is normalised by a global count of labels
    is multiplied by the number of ranks. Losses (mean) and Gram matrices (sum / W^2: ranks hold different rows) are all-reduced,
    K * K + K numbers, so each rank gets the same weights bit for bit. Every rank must run the fork's backward in every step:
    mask a loss with zeros, don't leave it out. Without an initialised `torch.distributed`, this is one process.

    Accumulated gradients: each backward has weights of its own and is a step of the strategy's averages. A factor on the total
    (1 / batches, a GradScaler's scale) acts on the gradients but is divided out of the norms that the strategy sees.

    Args:
        strategy: the strategy, from `emtl.create`.
        scope: `representation` takes gradients at the fork. `parameters` takes them, as the paper writes it, at the shared
            parameters (and pooled embeddings) given to `total`: the reference, which costs about K backwards.
        process_group: the ranks that share a batch. By default a group of its own over all ranks, made at the first `total`: on
            NCCL the order of its reductions against those of DDP isn't fixed, so they must not share a group.
        observe: form the Gram matrix even if the strategy doesn't need it, to log it; the weights don't change by that. May be
            set anew before each forward pass, in the same way on all ranks.
        every: solve in every n-th step alone, the first one included; no gradients are compared in the others, which use the weights
            of the last solve, scaled to sum K (a task that was absent from it: its weight of the last one that saw it).
        lagged: use the weights of the step before, so that the all-reduce goes on beside the backward and is waited for in the next
            step (or when `losses` or `gram` is read). The first step has equal weights.
        groups: positions of the tasks of each group. The tasks of a group are summed before the strategy, made for as many tasks as
            there are groups, sees them: losses and gradients. Each of them gets the group's weight.
        preferences: a positive factor a task (with groups: a group) on its share w_k s_k of the update, relative to the others.
        min_weight, max_weight: limits of every weight, with min_weight <= 1 <= max_weight. The weights between the limits keep their
            ratios, and the sum stays the number of tasks present. With a limit, negative weights count as 0.

    Whatever the options, the weights of a solve sum to the number of tasks present.

    Attributes:
        weights, losses, gram: (K,), (K,), (K, K) of the last backward, detached, float64, global; None before, and the Gram
            matrix where it wasn't formed. The weights are those that were used; for a strategy that weighs each feature, their means.
    """

    def __init__(
        self,
        strategy: Strategy,
        scope: str = "representation",
        process_group: dist.ProcessGroup | None = None,
        observe: bool = False,
        *,
        every: int = 1,
        lagged: bool = False,
        groups: Sequence[Sequence[int]] | None = None,
        preferences: Sequence[float] | None = None,
        min_weight: float | None = None,
        max_weight: float | None = None,
    ) -> None:
        self.strategy = strategy
        self.scope = validate.choice("scope", scope, SCOPES)
        self.observe = observe
        self.weights: Tensor | None = None
        self._shaping = Shaping(strategy, groups, preferences, min_weight, max_weight)
        self._schedule = Schedule(self._shaping.tasks, every, lagged)
        self._measured: Measurement | None = None
        self._waiting: Measurement | None = None
        self._group = process_group
        self._open: Step | None = None
        name = type(strategy).__name__
        if strategy.needs is Needs.TENSORS and (self.scope == "parameters" or lagged):
            raise ValueError(f"{name} works on the gradients of the step at the fork: with scope representation, and not lagged")
        if strategy.coordinatewise and every > 1:
            raise ValueError(f"{name} weighs each feature anew in every step, so every must be 1")

    @property
    def losses(self) -> Tensor | None:
        """(K,) global losses of the last backward."""
        return None if self._measured is None else self._measured.losses

    @property
    def gram(self) -> Tensor | None:
        """(K, K) global Gram matrix of the last backward, if it was formed."""
        return None if self._measured is None else self._measured.gram

    @torch.compiler.disable
    def fork(self, *shared: Tensor) -> tuple[Any, ...]:
        """K views of the shared tensors, one a task: each a Tensor, or a tuple of Tensors if several are given.

        The values are those of `shared`, and in-place changes are refused. Without gradients (`no_grad`) these are the tensors
        themselves. Call it once in a forward pass, with all shared tensors that feed the tasks' own parts, of any shapes (B, ...).

        A model whose tasks branch off at several depths may call it at each of them. The shared network then goes on from the
        tensors, the tasks' own parts from the views. Gradients are compared at the fork that the backward reaches first, the last
        one of the forward pass, and the others use its weights.
        """
        tasks = self._shaping.tasks
        learnt = [position for position, tensor in enumerate(shared) if tensor.requires_grad]
        views = [list(shared) for _ in range(tasks)]
        if torch.is_grad_enabled() and learnt:
            if self._open is None:
                needs = self.strategy.needs
                self._open = Step(self._weigh, False, needs_features=needs is Needs.TENSORS, signed=self.strategy.signed)
            forked = Fork.apply(self._open, tasks, *(shared[position] for position in learnt))
            for index, view in enumerate(forked):
                views[index // len(learnt)][learnt[index % len(learnt)]] = view
        return tuple(task[0] if len(task) == 1 else tuple(task) for task in views)

    @torch.compiler.disable
    def total(self, losses: Tensor, parameters: Iterable[Tensor] = (), activations: Iterable[Tensor] = ()) -> Tensor:
        """The scalar to call `backward()` on, from this rank's (K,) losses; its value is their sum.

        Args:
            losses: (K,) losses, in the order of the views.
            parameters: scope `parameters` only: the shared dense parameters above the fork. DDP needs `static_graph=False`.
            activations: scope `parameters` only: tensors with a row an example whose gradients count too, such as the pooled
                embeddings. A fused table's own gradient for a task never exists; this is where its part of the norm is taken.

        Raises:
            ValueError: losses don't have shape (K,), or the scope `parameters` is given no tensor.
            RuntimeError: there was no fork since the last total.
        """
        if losses.shape != (self._shaping.tasks,):
            raise ValueError(f"losses must have shape ({self._shaping.tasks},), but got {tuple(losses.shape)}")
        if not (torch.is_grad_enabled() and losses.requires_grad):
            return losses.sum()
        if self._open is None:
            raise RuntimeError("total() found no fork: the model must call fork() in each forward pass, before total()")
        step, self._open = self._open, None
        due = self._schedule.begin()
        step.needs_gram = self.observe or (due and self.strategy.needs is not Needs.LOSSES)
        step.needs_features = due and step.needs_features
        step.weigh = self._weigh if due else self._reuse
        step.losses = losses.detach()
        self._ensure_group()
        if self.scope == "parameters":
            self._weigh_parameters(step, losses, list(parameters), list(activations))
        return Total.apply(losses, step)

    def failures(self) -> Tensor:
        """() number of solves that failed so far, for which the strategy's documented answer stood in; on the strategy's device."""
        counts = [buffer for name, buffer in self.strategy.named_buffers() if name.rpartition(".")[2] == "failures"]
        return torch.stack(counts).sum() if counts else torch.zeros((), dtype=torch.int64)

    def state_dict(self) -> dict[str, Any]:
        """The strategy's state and the weights that are held: tensors by name. With `lagged`, the last step is solved first."""
        self._solve_waiting()
        return {**self.strategy.state_dict(), **self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; RuntimeError if it is that of a strategy with other state."""
        scheduled = {name: value for name, value in state.items() if name.startswith(PREFIX)}
        self._schedule.load_state_dict(scheduled)
        self.strategy.load_state_dict({name: value for name, value in state.items() if name not in scheduled})
        self._waiting = None

    def _weigh_parameters(self, step: Step, losses: Tensor, parameters: list[Tensor], activations: list[Tensor]) -> None:
        gram = None
        if step.needs_gram:
            step.measuring = True
            gram = parameter_gram(losses, parameters, activations, self._group)
            step.measuring = False
        step.weights = step.weigh(losses.detach(), gram, None)

    def _weigh(self, losses: Tensor, gram: Tensor | None, features: Tensor | None = None) -> Tensor:
        """The global weights (or factors) from what this rank measured, or those of the step before."""
        if self._schedule.lagged:
            weights = self._reuse(losses, gram)
            self._waiting = self._measured
            return weights
        self._measured = Measurement(losses, gram, features, self._group)
        weights = self._solve(self._measured)
        self.weights = weights if weights.dim() == 1 else weights.mean(1)
        return weights

    def _reuse(self, losses: Tensor, gram: Tensor | None, features: Tensor | None = None) -> Tensor:
        """The weights of the last solve; what was measured is on its way over the ranks."""
        self._solve_waiting()
        self._measured = Measurement(losses, gram, features, self._group)
        self.weights = self._schedule.held.to(losses.device)
        return self.weights

    def _solve_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._solve(waiting)

    def _solve(self, measured: Measurement) -> Tensor:
        weights = self._shaping.weights(measured.losses, measured.gram, measured.features)
        if self._schedule.holds:
            gram = None if self.strategy.needs is Needs.LOSSES else measured.gram
            self._schedule.hold(weights, present_tasks(measured.losses, gram))
        return weights

    def _ensure_group(self) -> None:
        if self._group is None and dist.is_available() and dist.is_initialized():
            self._group = dist.new_group()
