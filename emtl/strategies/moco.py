"""Multi-objective gradient correction."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked, validate
from emtl.by_feature import ByFeature
from emtl.strategy import Needs, Strategy, Tasks, register


@register("moco")
class MoCo(Strategy):
    """MoCo (Fernando et al., ICLR 2023, arXiv:2210.12624): min-norm weights from tracked gradients, free of the batch's bias.

    Y_k <- Y_k - beta_t (Y_k - g_k), lambda <- projection on the simplex of lambda - gamma_t (Y Y' + rho I) lambda, with
    beta_t = beta / t^beta_sigma and gamma_t = gamma / t^gamma_sigma. As in the published code, g_k enters as g_k / ||g_k|| l_k.

    Deviations: the paper tracks the gradient of all shared parameters and steps along Y' lambda. At the fork the rows are other
    examples in every step, so a tracked gradient of the shared tensor doesn't exist. What does is its sum over the rows of the global
    batch, for each feature: the gradient of a bias added to the shared tensor. Y tracks that, lambda follows from it as in the paper,
    and the update is sum_k lambda_k times the step's own gradient: the weights are corrected, the direction is not. The
    projection is the paper's; the published code has a softmax in its place. Weights are scaled to sum K. A task absent keeps Y
    and lambda. Only for scope `representation`, not `lagged`.

    Args:
        num_tasks: K.
        beta, beta_sigma: step of the tracked gradients and how fast it falls.
        gamma, gamma_sigma: step of the weights and how fast it falls.
        rho: what is added to the diagonal, at least 0.
    """

    needs = Needs.TENSORS
    mix: Tensor
    updates: Tensor

    def __init__(
        self,
        num_tasks: int,
        beta: float = 0.5,
        beta_sigma: float = 0.5,
        gamma: float = 0.1,
        gamma_sigma: float = 0.5,
        rho: float = 0.0,
    ) -> None:
        super().__init__(num_tasks)
        self.beta = validate.number("beta", beta, 0, 1)
        self.beta_sigma = validate.number("beta_sigma", beta_sigma, 0)
        self.gamma = validate.number("gamma", gamma, 0)
        self.gamma_sigma = validate.number("gamma_sigma", gamma_sigma, 0)
        self.rho = validate.number("rho", rho, 0)
        self.tracked = ByFeature(num_tasks)
        self.register_buffer("mix", torch.full((num_tasks,), 1 / num_tasks, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.float64))

    def solve(self, tasks: Tasks) -> Tensor:
        """(K,) weights on the simplex."""
        assert tasks.features is not None
        present = tasks.present
        taken = present & tasks.features.isfinite().all(1) & tasks.losses.isfinite()
        self.updates += taken.any()
        count = self.updates.clamp(min=1)
        length = tasks.features.norm(dim=1)
        gradients = tasks.features * (tasks.losses / torch.where(length == 0, 1.0, length))[:, None]
        tracked = self.tracked.sized(tasks.features)
        moved = torch.lerp(tracked, gradients, self.beta / count**self.beta_sigma)
        self.tracked.values = torch.where(taken[:, None], moved, tracked)
        self.mix.copy_(self._moved(present, self.gamma / count**self.gamma_sigma))
        return self.mix

    def _moved(self, present: Tensor, step: Tensor) -> Tensor:
        """The weights after a step among the tasks present, which keep their part of the whole."""
        values = torch.where(present[:, None], self.tracked.values, 0.0)
        part = torch.where(present, self.mix, 0.0).sum()
        own = torch.where(present & (part > 0), self.mix / torch.where(part > 0, part, 1.0), masked.uniform(present))
        slope = values @ (values.T @ own) + self.rho * own
        return torch.where(present & (part > 0), part * onto_simplex(own - step * slope, present), self.mix)


def onto_simplex(values: Tensor, present: Tensor) -> Tensor:
    """The point of the simplex over the tasks present that is nearest to (K,) values; 0 for the others (Held et al. 1974)."""
    far = masked.largest(torch.where(present, values, -torch.inf), present) - 2  # 2 below the largest, a value is never in the support
    ordered = torch.where(present, values, torch.where(present.any(), far, 0.0)).sort(descending=True).values
    sizes = torch.arange(1, len(values) + 1, dtype=values.dtype, device=values.device)
    thresholds = (ordered.cumsum(0) - 1) / sizes
    support = (ordered > thresholds).sum().clamp(min=1)
    return torch.where(present, (values - thresholds.gather(0, (support - 1).view(1))).clamp(min=0), 0.0)
