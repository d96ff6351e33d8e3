"""FairGrad: alpha-fair utilities."""

from __future__ import annotations

from torch import Tensor

from emtl import masked, solvers, validate
from emtl.gram import normalise
from emtl.strategies.solved import Solved, capped, known
from emtl.strategy import Tasks, register


@register("fairgrad")
class FairGrad(Solved):
    """FairGrad (Ban & Ji 2024, arXiv:2402.15638): the tasks' improvements g_k.d are alpha-fair.

    G w = w^(-1/alpha), w > 0. alpha = 1 is `nash`; larger alpha favours the task that improves least.

    Deviations: solved by Newton's method on the convex problem behind it, where published code calls a general least-squares solver.
    Scaled to sum K: with any alpha, a common factor on the gradients then changes nothing. Norms below 1e-12 of the largest count as
    that, so that weights stay finite.

    Antiparallel and stationary gradients: the weights that combine them to 0, by 1e-14 on the diagonal of the cosine matrix.

    Args:
        num_tasks: K; any number.
        alpha: fairness, in [0.2, 5].
    """

    most_tasks = 1 << 30

    def __init__(self, num_tasks: int, alpha: float = 1.0) -> None:
        super().__init__(num_tasks)
        self.alpha = validate.number("alpha", alpha, 0.2, 5)

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) w = v / s, with (C v)_k = s_k^(1/alpha - 1) v_k^(-1/alpha)."""
        cosines, _ = normalise(known(tasks.gram))
        norms = capped(tasks)
        norms = norms / masked.largest(norms, tasks.present)
        power = 1 / self.alpha
        rates = tasks.present * norms ** (power - 1) + ~tasks.present
        values, found = solvers.equilibrium(cosines, rates, power)
        return self.settled(tasks, values / norms, found)
