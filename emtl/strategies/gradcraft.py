"""GradCraft: magnitudes, then all conflicts of a task at once."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers, validate
from emtl.gram import normalise
from emtl.strategies.solved import Solved, known
from emtl.strategy import Tasks, register


@register("gradcraft")
class GradCraft(Solved):
    """GradCraft (Bai et al., KDD 2024, arXiv:2407.19682): magnitudes move towards the largest, then each task's conflicts go at once.

    Lengths become tau max s + (1 - tau) s_k. From each gradient, its projection onto the span of all gradients that conflict with it is
    taken away. The update is the mean of what is left. Weights may be negative.

    Deviations: the similarity `eps` that the paper asks for after the projection is 0. Scaled to sum K (by the rule of
    `emtl.strategy.scaled` where weights cancel): the direction is GradCraft's, the length isn't. Dependent gradients: the projection is
    the same; of several coefficients, the smallest.

    Args:
        num_tasks: K; any number.
        tau: how far lengths move to the largest, in [0, 1].
    """

    may_be_negative = True
    most_tasks = 1 << 30

    def __init__(self, num_tasks: int, tau: float = 1.0) -> None:
        super().__init__(num_tasks)
        self.tau = validate.number("tau", tau, 0, 1)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) sums of the projected gradients' coefficients."""
        cosines, norms = normalise(known(tasks.gram))
        lengths = torch.where(tasks.present, torch.lerp(norms, masked.largest(norms, tasks.present), self.tau), 0.0)
        conflicts = cosines < 0
        identity = torch.eye(len(norms), dtype=norms.dtype, device=norms.device)
        systems = torch.where(conflicts[:, :, None] & conflicts[:, None, :], cosines, identity)
        removed = solvers.solve_symmetric(systems, torch.where(conflicts, cosines, 0.0)[..., None]).squeeze(-1)
        weights = lengths @ (identity - removed) / norms
        return self.settled(tasks, weights, torch.ones_like(tasks.present.any()))
