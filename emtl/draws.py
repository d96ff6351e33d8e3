"""Random numbers that are the same on every rank: a function of a seed and of a counter on the device, nothing else.

A `torch.Generator` must be seeded from the host, which would have to wait for a counter that lives on the device. Here a number
is a hash of (seed, step, index): splitmix64 (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195) in wrapping int64.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_SHIFTS = (30, 27, 31)


def uniform(seed: int, step: Tensor, count: int) -> Tensor:
    """(count,) numbers, float64, uniform in (0, 1).

    Args:
        seed: of the whole sequence, in [0, 2^63).
        step: () int64, the number of earlier draws.
        count: how many numbers.
    """
    index = torch.arange(1, count + 1, device=step.device)
    bits = _mixed(_mixed(_mixed(step + seed) + step * _signed(_GAMMA)) + index * _signed(_GAMMA))
    return (_shifted(bits, 11).double() + 0.5) * 2.0**-53


def normal(seed: int, step: Tensor, count: int) -> Tensor:
    """(count,) numbers, float64, from N(0, 1) by Box and Muller's transform; number i doesn't depend on `count`."""
    radius, angle = uniform(seed, step, 2 * count).view(count, 2).unbind(1)
    return (-2 * radius.log()).sqrt() * (2 * math.pi * angle).cos()


def _mixed(bits: Tensor) -> Tensor:
    """The output function of splitmix64."""
    bits = (bits ^ _shifted(bits, _SHIFTS[0])) * _signed(_FACTORS[0])
    bits = (bits ^ _shifted(bits, _SHIFTS[1])) * _signed(_FACTORS[1])
    return bits ^ _shifted(bits, _SHIFTS[2])


def _shifted(bits: Tensor, places: int) -> Tensor:
    """Logical shift to the right, where `>>` of int64 would copy the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit number."""
    return value - (1 << 64) if value >> 63 else value
