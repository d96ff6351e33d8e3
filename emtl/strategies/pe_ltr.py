"""PE-LTR: Pareto-efficient weights with floors."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers, validate
from emtl.gram import normalise
from emtl.strategies.solved import Solved, known
from emtl.strategy import Tasks, register


@register("pe_ltr")
class PELTR(Solved):
    """PE-LTR (Lin et al., RecSys 2019, doi:10.1145/3298689.3346998): the shortest combination of the gradients with floors on weights.

    w = argmin w'Gw with sum w = 1 and w_k >= c_k. c = 0 is `mgda`.

    Deviations: the paper solves a relaxed problem without w >= c and projects; here the problem itself is solved, exactly. Scaled to
    sum K, a floor is K c_k. If tasks are absent, the floors of the others stay as they are. Of several solutions, any.

    Args:
        num_tasks: K, at most 12.
        c: floor of every weight, or a list of one a task, on the scale of sum w = 1: at least 0, with a sum of at most 1.
    """

    floors: Tensor

    def __init__(self, num_tasks: int, c: float | list[float] = 0.0) -> None:
        super().__init__(num_tasks)
        given = c if isinstance(c, list | tuple) else [c] * num_tasks
        if len(given) != num_tasks:
            raise ValueError(f"c must be a number or a list of {num_tasks} numbers, one a task, but got {c!r}")
        floors = [validate.number("c", floor, 0, 1) for floor in given]
        if sum(floors) > 1 + 1e-12:
            raise ValueError(f"c must leave a sum of weights of 1, but the floors sum to {sum(floors):g}")
        self.register_buffer("floors", torch.tensor(floors, dtype=torch.float64), persistent=False)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) the solution."""
        cosines, norms = normalise(known(tasks.gram))
        weights, found = solvers.smallest_norm(cosines, norms, tasks.present, self.floors)
        whole = masked.total(self.floors, tasks.present) > 1 - 1e-12
        return self.settled(tasks, torch.where(whole, self.floors, weights), found | whole.squeeze(-1))
