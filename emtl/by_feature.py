"""State with a number for each task and feature at the fork, whose size is known at the first step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ByFeature(torch.nn.Module):
    """(K, F) numbers, float64, in the `state_dict`; (K, 0) until the first step or a state tells F.

    Args:
        num_tasks: K.
    """

    values: Tensor

    def __init__(self, num_tasks: int) -> None:
        super().__init__()
        self.register_buffer("values", torch.zeros(num_tasks, 0, dtype=torch.float64))

    def sized(self, like: Tensor) -> Tensor:
        """The numbers, zeros at first, for features (K, F); ValueError if F is another one than before."""
        if self.values.shape[1] == 0:
            self.values = torch.zeros_like(like)
        if self.values.shape != like.shape:
            raise ValueError(f"the fork has {like.shape[1]} features, but had {self.values.shape[1]} before")
        return self.values

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        given = state_dict.get(f"{prefix}values")
        if isinstance(given, Tensor) and given.dim() == 2 and len(given) == len(self.values):
            self.values = torch.zeros(given.shape, dtype=torch.float64, device=self.values.device)
        super()._load_from_state_dict(state_dict, prefix, *arguments)
