"""Small problems that strategies solve, exactly, on the cosine matrix of the tasks' gradients.

Everything is in float64, in units of the gradients: coordinates z stand for sum_k z_k g_k / s_k, s_k the norms. The number of
operations is fixed, so nothing waits for the device. The quadratic problems enumerate all 2^K sets of tasks that may have a
positive coordinate (supports), solve their linear systems in one batch and take the one that meets the conditions of
Karush, Kuhn and Tucker, the smallest if several do: exact, and why they take at most `MOST_TASKS` tasks.

A task that is absent is a row of the identity in the cosine matrix; it gets what doesn't matter. Each solver also returns whether it
has succeeded, as a () mask; what stands in for a failed one is the caller's business.
"""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import masked

MOST_TASKS = 12
"""Up to which number of tasks all supports are enumerated."""

RIDGE = 1e-10
"""Added to the diagonal in `solve_symmetric`, whose refinements take it away again."""

SATISFIED = 1e-13
"""A violation of the optimality conditions below this, relative to the coordinates, is rounding."""

FAILED = 1e-6
"""A violation above this means that no support was right."""


def solve_symmetric(matrix: Tensor, right: Tensor) -> Tensor:
    """x (..., K, R) with matrix x = right, for a positive semidefinite matrix (..., K, K) of unit scale.

    Iterated Tikhonov regularisation: an eigenvalue lam >> 1e-10 is inverted with relative error (1e-10 / lam)^4. A right side outside the
    range of a singular matrix gives a large x along the null space (4e10 times its part there), which is the limit of what the
    exact solution points to; inside the range, x has nothing of the null space but rounding.
    """
    inverse = torch.linalg.inv_ex(matrix + RIDGE * torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)).inverse
    solution = inverse @ right
    for _ in range(3):
        solution = solution + inverse @ (right - matrix @ solution)
    return solution


def supports(tasks: int, device: torch.device) -> Tensor:
    """(2^K, K) masks of all sets of tasks, smaller sets first."""
    numbers = torch.arange(2**tasks, device=device)
    masks = (numbers[:, None] >> torch.arange(tasks, device=device)) & 1
    return masks[masks.sum(1).argsort(stable=True)].bool()


def _solve_faces(cosines: Tensor, right: Tensor, faces: Tensor) -> Tensor:
    """(F, K, R) solutions of the linear systems (K, R) on each support (F, K); 0 outside it."""
    inside = faces[:, :, None] & faces[:, None, :]
    matrices = torch.where(inside, cosines, torch.eye(len(cosines), dtype=cosines.dtype, device=cosines.device))
    return solve_symmetric(matrices, torch.where(faces[..., None], right, 0.0))


def _best(faces: Tensor, rises: Tensor, slacks: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """The (..., K) rises of the support that meets the optimality conditions best, and the (...) mask of where it does.

    Args:
        faces: (F, K) supports.
        rises: (F, ..., K) what is added to the base coordinates: to be >= 0.
        slacks: (F, ..., K) to be >= 0, and 0 on the support.
        base: (..., K) base coordinates, for the scale.
    """
    faces = faces.view(len(faces), *[1] * (rises.dim() - 2), -1)
    violation = torch.maximum(-rises, torch.where(faces, slacks.abs(), -slacks)).amax(-1)
    relative = violation / (rises.abs().amax(-1) + base.abs().amax(-1))
    relative = torch.where(relative.isfinite(), relative, torch.inf).clamp(min=SATISFIED)
    chosen = relative.argmin(0, keepdim=True)
    rise = rises.gather(0, chosen[..., None].expand(1, *rises.shape[1:])).squeeze(0)
    return rise.clamp(min=0), relative.amin(0) < FAILED


def inverse_norms(norms: Tensor, present: Tensor) -> Tensor:
    """(K,) 1 / s_k times the smallest norm: in (0, 1] for a task present, 0 for the others."""
    smallest = torch.where(present, norms, torch.inf).amin(-1, keepdim=True)
    return torch.where(present, smallest / norms, 0.0)


def smallest_norm(cosines: Tensor, norms: Tensor, present: Tensor, floors: Tensor) -> tuple[Tensor, Tensor]:
    """The weights w (K,) with sum 1 and w_k >= floors_k for which sum_k w_k g_k is shortest, and whether they were found.

    On a support, C z = mu t with t = 1 / s, and mu is what puts the sum to 1; outside it C z >= mu t.

    Args:
        cosines: (K, K) cosine matrix C.
        norms: (K,) norms of the gradients, on any scale.
        present: (K,) mask of the tasks that take part.
        floors: (K,) least weights; their sum over the tasks present is below 1, or 1, and then they are the answer.
    """
    faces = supports(len(norms), norms.device)
    inverse = inverse_norms(norms, present)
    floors = torch.where(present, floors, 0.0)
    base = torch.where(present, floors / inverse, 0.0)
    pull = cosines @ base
    along, against = _solve_faces(cosines, torch.stack([inverse, pull], 1), faces).unbind(-1)
    level = ((1 - floors.sum() + against @ inverse) / (along @ inverse))[:, None]
    rises = level * along - against
    best, found = _best(faces, rises, (base + rises) @ cosines - level * inverse, base)
    return floors + best * inverse, found


def conflict_averse(cosines: Tensor, norms: Tensor, present: Tensor, c: float) -> tuple[Tensor, Tensor]:
    """The weights w (K,) of the vector d that maximises min_k g_k.d with norm(d - g_0) <= c norm(g_0), g_0 the mean gradient.

    d = g_0 + y with y a combination of the gradients >= 0 of length c norm(g_0). On a support, C z = mu t with t = 1 / s; the length
    gives a quadratic equation for mu, of which the larger root is the one with sum y_k >= 0. Outside, C z >= mu t. Arguments
    and results as in `smallest_norm`; c > 0.
    """
    faces = supports(len(norms), norms.device)
    inverse = inverse_norms(norms, present)
    mean = masked.uniform(present)
    base = torch.where(present, mean / inverse, 0.0)
    size = base.amax()
    base = base / size
    pull = cosines @ base
    length = c**2 * (base @ pull).clamp(min=0)
    along, against = _solve_faces(cosines, torch.stack([inverse, pull], 1), faces).unbind(-1)
    square, half, rest = along @ inverse, against @ inverse, against @ pull - length
    discriminant = half.square() - square * rest
    level = torch.where(discriminant >= 0, (half + discriminant.clamp(min=0).sqrt()) / square, torch.nan)[:, None]
    rises = level * along - against
    best, found = _best(faces, rises, (base + rises) @ cosines - level * inverse, base)
    return mean + best * inverse * size, found


def onto_dual_cone(cosines: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Projects each combination of gradients, rows of `starts` (R, K) in coordinates z, onto the cone of d with g_k.d >= 0 for all k.

    The projection adds rises y >= 0 to the coordinates, with C z = 0 where y > 0 and C z >= 0 elsewhere: as a least-squares
    problem over y >= 0 it has a solution whatever the rank. Returns (R, K) coordinates and a () mask.
    """
    faces = supports(len(cosines), cosines.device)
    rises = -_solve_faces(cosines, cosines @ starts.T, faces).transpose(1, 2)
    best, found = _best(faces, rises, (starts + rises) @ cosines, starts)
    return starts + best, found.all()


def equilibrium(cosines: Tensor, rates: Tensor, power: float, steps: int = 60) -> tuple[Tensor, Tensor]:
    """v (K,) > 0 with (C v)_k = b_k v_k^-power, and whether it was reached: the minimum of a convex potential.

    Damped Newton steps on v'Cv / 2 - sum_k b_k phi(v_k), phi' = v^-power. A step moves log v, so v stays positive; its length is the best
    of twelve, and the full one near the end, where the potential's differences are rounding. 1e-14 on the diagonal lets antiparallel
    gradients, for which v would grow without end, have an answer: along the null space. On a CPU, where looking at a value
    waits for nothing, it stops when there is nothing left to do.

    Args:
        cosines: (K, K) cosine matrix C.
        rates: (K,) b > 0, each within what float64 holds when squared.
        power: > 0.
        steps: largest number of Newton steps.
    """
    cosines = cosines + 1e-14 * torch.eye(len(rates), dtype=cosines.dtype, device=cosines.device)
    lengths = 0.5 ** torch.arange(12, dtype=torch.float64, device=rates.device)[:, None]
    alone = rates ** (1 / (1 + power))
    values = alone * _best_factor(cosines, rates, power, alone)
    for _ in range(steps):
        relative = _newton(cosines, rates, power, values)
        candidates = values * (lengths * relative).exp()
        shortest = _potential(cosines, rates, power, candidates).argmin(keepdim=True)
        largest = relative.abs().amax()
        chosen = torch.where(largest < 0.1, 0, shortest)
        values = candidates.gather(0, chosen[:, None].expand(1, len(rates))).squeeze(0)
        along = _best_factor(cosines, rates, power, values)
        values = values * torch.where((largest < 0.1) | ~along.isfinite(), 1.0, along)
        if values.device.type == "cpu" and largest < 1e-9:
            break
    force = rates * values**-power
    return values, ((cosines @ values - force).abs() < FAILED * force + 1e-14 * (cosines.abs() @ values)).all()


def _newton(cosines: Tensor, rates: Tensor, power: float, values: Tensor) -> Tensor:
    """(K,) Newton step of log v at `values`, shortened to at most 5; its system is scaled to a unit diagonal.

    The potential isn't convex in log v. Where its second derivative lacks that of the potential in v, the latter replaces it, so every
    step goes down; at the minimum both are one.
    """
    force, pull = rates * values ** (1 - power), values * (cosines @ values)
    curvature = torch.maximum(pull - (1 - power) * force, power * force)
    unit = (values.square() * cosines.diagonal() + curvature).rsqrt()
    scaled = (unit * values)[:, None] * cosines * (unit * values) + torch.diag(curvature * unit.square())
    step = unit * (torch.linalg.inv_ex(scaled).inverse @ (unit * (force - pull)))
    return step / (step.abs().amax() / 5).clamp(min=1)


def _best_factor(cosines: Tensor, rates: Tensor, power: float, values: Tensor) -> Tensor:
    """() the factor on `values` that makes the potential least."""
    return ((rates @ values ** (1 - power)) / (values @ cosines @ values)) ** (1 / (1 + power))


def _potential(cosines: Tensor, rates: Tensor, power: float, values: Tensor) -> Tensor:
    """(N,) the convex potential at each row of `values` (N, K)."""
    barrier = values.log() if power == 1 else values ** (1 - power) / (1 - power)
    return ((values @ cosines) * values).sum(-1) / 2 - barrier @ rates
