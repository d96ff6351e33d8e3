"""What a training loop holds: a strategy, where it looks at gradients, and the process group it agrees in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from emtl import validate
from emtl.fork import Fork, Step, Total
from emtl.parameters import parameter_gram
from emtl.strategy import Needs, Strategy

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

    Attributes:
        weights, losses, gram: (K,), (K,), (K, K) of the last backward, detached, float64, global; None before, and the Gram
            matrix where it wasn't formed.
    """

    def __init__(
        self, strategy: Strategy, scope: str = "representation", process_group: dist.ProcessGroup | None = None, observe: bool = False
    ) -> None:
        self.strategy = strategy
        self.scope = validate.choice("scope", scope, SCOPES)
        self.observe = observe
        self.weights: Tensor | None = None
        self.losses: Tensor | None = None
        self.gram: Tensor | None = None
        self._group = process_group
        self._open: Step | None = None

    @property
    def _needs_gram(self) -> bool:
        return self.observe or self.strategy.needs is Needs.GRAM

    @torch.compiler.disable
    def fork(self, *shared: Tensor) -> tuple[Any, ...]:
        """K views of the shared tensors, one a task: each a Tensor, or a tuple of Tensors if several are given.

        Call it once in a forward pass, with all shared tensors that feed the tasks' own parts, of any shapes. The values are those
        of `shared`, and in-place changes are refused. Without gradients (`no_grad`) these are the tensors themselves.
        """
        tasks = self.strategy.num_tasks
        learnt = [position for position, tensor in enumerate(shared) if tensor.requires_grad]
        views = [list(shared) for _ in range(tasks)]
        if torch.is_grad_enabled() and learnt:
            self._open = Step(self._weigh, self._needs_gram)
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
        if losses.shape != (self.strategy.num_tasks,):
            raise ValueError(f"losses must have shape ({self.strategy.num_tasks},), but got {tuple(losses.shape)}")
        if not (torch.is_grad_enabled() and losses.requires_grad):
            return losses.sum()
        if self._open is None:
            raise RuntimeError("total() found no fork: the model must call fork() once in each forward pass, before total()")
        step, self._open = self._open, None
        step.losses = losses.detach()
        self._ensure_group()
        if self.scope == "parameters":
            self._weigh_parameters(step, losses, list(parameters), list(activations))
        return Total.apply(losses, step)

    def state_dict(self) -> dict[str, Any]:
        """The strategy's state: tensors by name."""
        return self.strategy.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave; RuntimeError if it is that of a strategy with other state."""
        self.strategy.load_state_dict(state)

    def _weigh_parameters(self, step: Step, losses: Tensor, parameters: list[Tensor], activations: list[Tensor]) -> None:
        gram = None
        if step.needs_gram:
            step.measuring = True
            gram = parameter_gram(losses, parameters, activations, self._group)
            step.measuring = False
        step.weights = self._weigh(losses.detach(), gram)

    def _weigh(self, losses: Tensor, gram: Tensor | None) -> Tensor:
        """The global weights from this rank's losses and Gram matrix."""
        self.losses, self.gram = self._reduced(losses.double(), gram)
        self.weights = self.strategy.weights(self.losses, self.gram if self.strategy.needs is Needs.GRAM else None)
        return self.weights

    def _reduced(self, losses: Tensor, gram: Tensor | None) -> tuple[Tensor, Tensor | None]:
        if self._group is None:
            return losses, gram
        numbers = torch.cat([losses] if gram is None else [losses, gram.flatten()])
        dist.all_reduce(numbers, group=self._group)
        world = dist.get_world_size(self._group)
        tasks = len(losses)
        return numbers[:tasks] / world, None if gram is None else (numbers[tasks:] / world**2).view_as(gram)

    def _ensure_group(self) -> None:
        if self._group is None and dist.is_available() and dist.is_initialized():
            self._group = dist.new_group()
