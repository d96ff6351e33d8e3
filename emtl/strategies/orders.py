"""The random order in which a task's gradient meets those of the others, the same on every rank."""

from __future__ import annotations

import torch
from torch import Tensor

from emtl import draws


def orders(seed: int, step: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """(K, K - 1) tasks that each task meets, in random order, and the mask of the meetings that take place (both are present).

    Draws go by the position among the tasks present, so an absent task changes none.

    Args:
        seed: of all draws.
        step: () int64 number of earlier draws.
        present: (K,) mask.
    """
    tasks = len(present)
    rank = (present.cumsum(0) - 1).clamp(min=0)
    row, column = rank[:, None], rank[None, :]
    pairing = torch.where(row >= column, row * row + row + column, column * column + row)  # below n^2 for ranks below n
    keys = draws.uniform(seed, step, tasks * tasks)[pairing]
    takes_place = present[:, None] & present & ~torch.eye(tasks, dtype=torch.bool, device=present.device)
    order = torch.where(takes_place, keys, 2.0).argsort(1)[:, : tasks - 1]
    return order, takes_place.gather(1, order)
