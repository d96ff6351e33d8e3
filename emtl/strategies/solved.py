"""What strategies that solve a problem share: failures are counted, and what stands in is documented."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers, validate
from emtl.strategy import Strategy, Tasks

CAP = 1e12
"""How many times smaller than the largest a gradient norm may be before it counts as that small, where norms are divided by."""


class Solved(Strategy):
    """A strategy whose weights come from `emtl.solvers`.

    A step whose problem wasn't solved gets normalised gradients, w_k ~ 1 / s_k, and is counted in the buffer `failures` (int64, in the
    `state_dict`), for a trainer to log. It never gets ones in silence. If the Gram matrix has numbers that aren't finite, so are the
    weights, to be seen, and nothing is counted.

    Args:
        num_tasks: K, at most `most_tasks`: a solver by enumeration takes 12.
    """

    failures: Tensor
    most_tasks: int = solvers.MOST_TASKS

    def __init__(self, num_tasks: int) -> None:
        super().__init__(num_tasks)
        if num_tasks > self.most_tasks:
            raise ValueError(f"{type(self).__name__} solves problems of at most {self.most_tasks} tasks, but num_tasks is {num_tasks}")
        self.register_buffer("failures", torch.zeros((), dtype=torch.int64))

    def settled(self, tasks: Tasks, weights: Tensor, found: Tensor) -> Tensor:
        """The (K,) weights of a problem that was `found` (), what stands in for them otherwise; counts failures."""
        usable = tasks.norms.isfinite().all() & known(tasks.gram).isfinite().all()
        solved = found & torch.where(tasks.present, weights, 0.0).isfinite().all()
        self.failures += usable & ~solved & tasks.present.any()
        return torch.where(solved | ~usable, torch.where(usable, weights, torch.nan), 1 / capped(tasks))


class Preferring(Solved):
    """One that is told how much each task matters.

    Args:
        num_tasks: K.
        pref_vector: K positive numbers, scaled to sum 1 in `preferences`; equal by default.
    """

    preferences: Tensor

    def __init__(self, num_tasks: int, pref_vector: list[float] | None = None) -> None:
        super().__init__(num_tasks)
        self.register_buffer("preferences", preference(pref_vector, num_tasks), persistent=False)


def known(gram: Tensor | None) -> Tensor:
    """The Gram matrix, which `Needs.GRAM` puts there."""
    if gram is None:
        raise RuntimeError("a strategy that uses gradients must declare `needs = Needs.GRAM`")
    return gram


def capped(tasks: Tasks) -> Tensor:
    """(K,) norms, none below 1 / `CAP` of the largest of the tasks present; what stands at absent ones is above 0 too."""
    largest = masked.largest(tasks.norms, tasks.present)
    return tasks.norms.maximum(torch.where(tasks.present.any(), largest / CAP, 1.0))


def preference(pref_vector: list[float] | None, num_tasks: int) -> Tensor:
    """(K,) preferences with sum 1 from an option of positive numbers, one a task; None stands for equal ones."""
    numbers = torch.tensor(validate.shares("pref_vector", pref_vector, num_tasks), dtype=torch.float64)
    return numbers / numbers.sum()
