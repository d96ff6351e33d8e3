"""MultiBalance: MGDA at the shared features, on gradients normalised by a moving average."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, solvers
from emtl.averages import MovingAverage
from emtl.gram import normalise
from emtl.strategies.solved import CAP, Solved, known
from emtl.strategy import Tasks, register


@register("multibalance")
class MultiBalance(Solved):
    """MultiBalance (He et al. 2024, arXiv:2411.11871): the shortest convex combination of the gradients over their average norms.

    m_k is the moving average of s_k; v = argmin norm(sum_k v_k g_k / m_k) over the simplex; w_k = v_k / m_k. The paper takes the
    gradients at the shared features, which is the scope `representation`.

    Deviations: this is our reading of the paper's outline, written without its code; the problem is solved exactly in each step,
    where the paper may step towards it. The average is corrected for its start. Scaled to sum K. Averages below 1e-12 of the
    largest count as that. A task that was absent keeps its average.

    Args:
        num_tasks: K, at most 12.
        beta: moving average of the norms, in [0, 1).
    """

    def __init__(self, num_tasks: int, beta: float = 0.9) -> None:
        super().__init__(num_tasks)
        self.norms = MovingAverage(num_tasks, beta)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) v over the averages."""
        cosines, norms = normalise(known(tasks.gram))
        averages = self.norms.update(tasks.norms, tasks.present)
        averages = averages.maximum(masked.largest(averages, tasks.present) / CAP)
        averages = torch.where(tasks.present, averages, 1.0)
        weights, found = solvers.smallest_norm(cosines, norms / averages, tasks.present, torch.zeros_like(norms))
        return self.settled(tasks, weights / averages, found)
