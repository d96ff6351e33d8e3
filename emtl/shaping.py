"""What a balancer makes of a strategy's weights: groups of tasks, preferences, limits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.strategy import Needs, Strategy, present_tasks, scaled

TINY = 1e-12
"""Part of the largest weight that a weight of 0 or below counts as where limits ask for more."""


class Shaping:
    """Strategy, groups, preferences and limits, in this order; see `emtl.Balancer` for what each one means.

    Args:
        strategy: for as many tasks as there are groups; for K tasks without groups.
        groups: positions of the tasks of each group; each task is in one.
        preferences: a positive factor a group; a task without groups.
        min_weight, max_weight: limits of a weight whose mean over the tasks present is 1.

    Attributes:
        tasks: K.
    """

    def __init__(
        self,
        strategy: Strategy,
        groups: Sequence[Sequence[int]] | None,
        preferences: Sequence[float] | None,
        min_weight: float | None,
        max_weight: float | None,
    ) -> None:
        self.strategy = strategy
        self._limits = _limits(min_weight, max_weight)
        self._group_of = None if groups is None else _group_of(groups, strategy.num_tasks)
        self.tasks = strategy.num_tasks if self._group_of is None else len(self._group_of)
        given = None if preferences is None else validate.shares("preferences", preferences, strategy.num_tasks)
        self._preferences = None if given is None else [given[group] for group in self._group_of or range(self.tasks)]
        if strategy.coordinatewise and (given is not None or self._limits is not None):
            raise ValueError(f"{type(strategy).__name__} has no weights that preferences, min_weight or max_weight could change")

    def weights(self, losses: Tensor, gram: Tensor | None, features: Tensor | None) -> Tensor:
        """The (K,) weights of the tasks, with sum = number of tasks present; (K, F) factors from a strategy of coordinates."""
        if self.strategy.needs is Needs.LOSSES:
            gram = None  # it may be there to be logged
        present = present_tasks(losses, gram)
        found = self._by_task(losses, gram, features)
        if self._group_of is None and self._preferences is None and self._limits is None:
            return found
        if self._preferences is not None:
            found = found * found.new_tensor(self._preferences)
        shaped = _scaled(found, present)
        return shaped if self._limits is None else limited(shaped, present, *self._limits)

    def _by_task(self, losses: Tensor, gram: Tensor | None, features: Tensor | None) -> Tensor:
        if self._group_of is None:
            return self.strategy.weights(losses, gram, features)
        members = torch.nn.functional.one_hot(torch.tensor(self._group_of), self.strategy.num_tasks).to(losses.device).double()
        summed = None if gram is None else members.T @ gram.double() @ members
        found = self.strategy.weights(members.T @ losses.double(), summed, None if features is None else members.T @ features.double())
        return members @ found


def limited(weights: Tensor, present: Tensor, low: float, high: float) -> Tensor:
    """(K,) min(max(t w, low), high) over the tasks present, with the one t at which their sum is their number.

    That is w where no limit is met; else the weights between the limits keep their ratios. The sum grows with t along straight lines
    whose 2 K corners are at low / w_k and high / w_k: the line that holds the answer is found, and solved. Weights below `TINY` of the
    largest count as that, so that there is an answer for every low <= 1 <= high.
    """
    number = present.sum().double()
    floor = TINY * masked.largest(weights, present)
    raised = torch.where(present, weights.maximum(floor), 1.0)
    top = min(high, float(len(weights)))
    corners = torch.cat([low / raised, top / raised]).sort().values
    sums = torch.where(present, (corners[:, None] * raised).clamp(low, top), 0.0).sum(1)
    last = ((sums <= number).sum() - 1).clamp(min=0)
    start, below = corners.gather(0, last.view(1)), sums.gather(0, last.view(1))
    rising = torch.where(present & (low / raised <= start) & (top / raised > start), raised, 0.0).sum()
    factor = start + torch.where(rising > 0, (number - below) / torch.where(rising > 0, rising, 1.0), 0.0)
    return _scaled((factor * raised).clamp(low, top), present)


def _scaled(weights: Tensor, present: Tensor) -> Tensor:
    """Weights, or (K, F) factors, of the tasks present, with sum (of the means over F) = their number; 0 for the others."""
    if weights.dim() == 1:
        return scaled(torch.where(present, weights, 0.0), present)
    kept = torch.where(present[:, None], weights, 0.0)
    total = kept.mean(1).sum()
    return kept * (present.sum() / torch.where(total == 0, 1.0, total))


def _limits(min_weight: float | None, max_weight: float | None) -> tuple[float, float] | None:
    if min_weight is None and max_weight is None:
        return None
    low = 0.0 if min_weight is None else validate.number("min_weight", min_weight, 0, 1)
    return low, torch.inf if max_weight is None else validate.number("max_weight", max_weight, 1)


def _group_of(groups: Sequence[Sequence[int]], number: int) -> list[int]:
    """The group of each task."""
    if len(groups) != number:
        raise ValueError(f"the strategy is for {number} tasks, but there are {len(groups)} groups: it must see one task a group")
    found = {task: index for index, group in enumerate(groups) for task in group}
    members = sum(len(group) for group in groups)
    if sorted(found) != list(range(members)) or not all(groups):
        raise ValueError(f"groups must hold each task from 0 on once, and none may be empty, but got {[list(group) for group in groups]}")
    return [found[task] for task in range(members)]
