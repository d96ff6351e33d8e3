"""Eigenvectors of a small symmetric matrix, accurate for graded ones and without waiting for the device."""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 9
"""How often all pairs are rotated; the convergence is quadratic, so half of these are enough for most."""


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (K,), in no order, and eigenvectors (K, K) in columns of a positive semidefinite matrix (K, K).

    Jacobi's method with n / 2 rotations at a time. Unlike `torch.linalg.eigh` it never reads a status back from the device, and each
    eigenvalue of D C D, D diagonal, is found with a relative error of the order of the condition number of C alone
    (Demmel and Veselic 1992): norms of gradients may differ as they like.
    """
    tasks = len(matrix)
    size = tasks + tasks % 2
    matrix = torch.nn.functional.pad(matrix, (0, size - tasks, 0, size - tasks))
    vectors = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    rounds = [Round(size, number, matrix.device) for number in range(size - 1)]
    for _ in range(SWEEPS):
        for pairs in rounds:
            matrix, rotation = pairs.rotate(matrix)
            vectors = vectors @ rotation
        if matrix.device.type == "cpu" and _is_diagonal(matrix):
            break
    return matrix.diagonal()[:tasks], vectors[:tasks, :tasks]


def _is_diagonal(matrix: Tensor) -> bool:
    """Whether what is off the diagonal is rounding next to the diagonal entries of its row and its column; for the CPU."""
    lengths = matrix.diagonal().abs().sqrt()
    return bool((matrix - matrix.diag().diag()).abs().le(1e-17 * lengths * lengths[:, None]).all())


class Round:
    """A round of a tournament of `size` players, `size` even, in `size` - 1 rounds: everybody meets somebody."""

    def __init__(self, size: int, number: int, device: torch.device) -> None:
        last = size - 1
        indices = torch.arange(size, device=device)
        without = number * (size // 2) % max(last, 1)
        partners = (number - indices) % max(last, 1)
        partners = torch.where(indices == without, last, partners)
        self.partners = torch.where(indices == last, without, partners)
        self.first = indices < self.partners
        identity = torch.eye(size, dtype=torch.float64, device=device)
        self.pairs = identity[self.partners]
        self.zeroed = (identity + self.pairs).bool()

    def rotate(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix with the entries of all pairs rotated to 0, and the (n, n) rotation."""
        between = (matrix * self.pairs).sum(1)
        diagonal = matrix.diagonal()
        difference = diagonal[self.partners] - diagonal
        upwards = (difference > 0) | ((difference == 0) & self.first)
        ratio = difference.abs() / (2 * between.abs())
        tangent = torch.where(upwards, 1.0, -1.0) * between.sign() / (ratio + (1 + ratio.square()).sqrt())
        tangent = torch.where(between == 0, 0.0, tangent)
        cosine = (1 + tangent.square()).rsqrt()
        rotation = torch.diag(cosine) + (tangent * cosine)[:, None] * self.pairs
        turned = rotation.T @ matrix @ rotation
        return torch.where(self.zeroed, 0.0, turned) + torch.diag(diagonal - tangent * between), rotation
