"""The two-task toy of CAGrad (Liu et al. 2021, arXiv:2110.14048, appendix) and Nash-MTL (Navon et al. 2022, arXiv:2202.01017, appendix).

Two valleys with steep walls, one a task, lead to a common bowl whose floor is the Pareto front. A method that lets one task's slope rule
crosses into the wrong valley and stays there. As in Nash-MTL, task 0 is multiplied by 0.1 and there are five starting points.
"""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import Tensor

import emtl

SCALES = torch.tensor([0.1, 1.0], dtype=torch.float64)
STARTS = torch.tensor([[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]], dtype=torch.float64)
STEPS, LEARNING_RATE = 400, 0.1  # longer and fewer ones than the papers' 35,000 of 0.001
ABOVE_ZERO = 25.0  # added to the values that strategies see: the toy's go down to -20, and some strategies need losses
REACHED = 0.2  # a valley's end is 15 away
# Those whose fixed points are Pareto stationary whatever the scales, and that are meant to leave the valleys.
METHODS = ["aligned", "cagrad", "fairgrad", "imtl_g", "mgda", "nash", "normalized", "upgrad"]


def objectives(points: Tensor) -> Tensor:
    """(..., 2) values, not yet scaled, at points (..., 2)."""
    x, y = points.unbind(-1)
    upper = (0.5 * (-x - 7) - torch.tanh(-y), 0.5 * (-x + 3) - torch.tanh(-y) + 2)
    valleys = torch.stack([wall.abs().clamp(min=5e-6).log() + 6 for wall in upper], -1)
    bowls = torch.stack([((-x + 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20, ((-x - 7) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20], -1)
    above, below = torch.tanh(0.5 * y).clamp(min=0), torch.tanh(-0.5 * y).clamp(min=0)
    return above[..., None] * valleys + below[..., None] * bowls


@cache
def front() -> Tensor:
    """(N, 2) values on the Pareto front: x from one bowl's floor to the other's, y where tanh no longer matters."""
    x, y = torch.meshgrid(torch.linspace(-7, 7, 701, dtype=torch.float64), torch.linspace(-8.6, -8, 4, dtype=torch.float64), indexing="ij")
    return objectives(torch.stack([x, y], -1)).flatten(0, 1)


def distance(values: Tensor) -> Tensor:
    """(...) by how much some point of the front is better in both objectives than values (..., 2); 0 or below on the front."""
    return (values[..., None, :] - front()).amin(-1).amax(-1)


def descend(name: str, starts: Tensor = STARTS) -> Tensor:
    """(N,) distances to the front at the end of a descent by Adam from starts (N, 2), each of which ends once it has arrived."""
    points = starts.clone().requires_grad_()
    optimizer = torch.optim.Adam([points], LEARNING_RATE)
    strategies = [emtl.create(name, num_tasks=2) for _ in starts]
    distances = torch.full((len(starts),), torch.inf, dtype=torch.float64)
    for step in range(STEPS + 1):
        values = objectives(points)
        if step % 20 == 0:
            distances = torch.where(distances < REACHED, distances, distance(values.detach()))
            if (distances < REACHED).all():
                break
        slopes = [torch.autograd.grad(values[:, task].sum(), points, retain_graph=True)[0] for task in range(2)]
        jacobians = torch.stack(slopes, 1) * SCALES[:, None]
        losses, grams = values.detach() * SCALES + ABOVE_ZERO, jacobians @ jacobians.mT
        weights = torch.zeros_like(losses)
        for start in (distances >= REACHED).nonzero().flatten().tolist():
            weights[start] = strategies[start].weights(losses[start], grams[start])
        points.grad = (weights[..., None] * jacobians).sum(1)
        optimizer.step()
    return distances


@pytest.mark.parametrize("name", [name for name in METHODS if name in emtl.names()])
def test_it_reaches_the_pareto_front_from_every_start(name: str) -> None:
    assert (descend(name) < REACHED).all()


def test_equal_weights_stay_in_a_valley() -> None:
    assert (descend("equal", STARTS[2:3]) > 1).all()


def test_the_front_is_where_no_point_is_better_in_both() -> None:
    """On random points over the whole plane, none lies beyond it."""
    points = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 24 - 12
    assert distance(objectives(points)).min() > -0.05
    assert distance(objectives(STARTS)).min() > 1
