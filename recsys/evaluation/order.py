"""Orders of float32 numbers as unsigned integers, which numpy sorts with SIMD instructions.

Exact metrics are sorts. A float32 maps to a uint32 of the same order; two of them, or one and a position, fill a uint64 that is
sorted in one go, several times faster than an argsort. All functions are pure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SIGN = np.uint32(0x8000_0000)
_HALF = np.uint64(32)


def ordered_bits(numbers: NDArray[np.float32]) -> NDArray[np.uint32]:
    """(n,) uint32 in the order of the (n,) float32 `numbers` without NaN: a < b and a == b hold for both; -0.0 equals 0.0."""
    bits = (numbers + np.float32(0)).view(np.uint32)  # -0.0 + 0.0 is 0.0
    signs = (bits.view(np.int32) >> np.int32(31)).view(np.uint32)
    signs |= _SIGN
    bits ^= signs
    return bits


def from_ordered_bits(bits: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The float32 numbers of `ordered_bits`."""
    return np.where(bits & _SIGN, bits ^ _SIGN, ~bits).astype(np.uint32, copy=False).view(np.float32)


def order_keys(numbers: ArrayLike) -> NDArray[np.uint32]:
    """(n,) uint32 keys in the order of `numbers`, of any real dtype.

    Raises:
        ValueError: some of the numbers are NaN.
    """
    array = np.ascontiguousarray(numbers).ravel()
    missing = int(np.count_nonzero(np.isnan(array)))
    if missing:
        raise ValueError(f"{missing} of {array.size} numbers are NaN")
    if array.dtype in (np.float32, np.float16):
        return ordered_bits(array.astype(np.float32, copy=False))
    return np.unique(array, return_inverse=True)[1].astype(np.uint32)


def pack(high: NDArray[np.uint32], low: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(n,) uint64 ordered by `high`, then by `low`."""
    packed = high.astype(np.uint64)
    packed <<= _HALF
    packed |= low
    return packed


def unpack(packed: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The two halves of `pack`."""
    return (packed >> _HALF).astype(np.uint32), packed.astype(np.uint32)


def sort_rows(keys: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The (n,) keys ascending, and the (n,) rows where they are; equal keys in the order of their rows."""
    packed = pack(keys, np.arange(keys.size, dtype=np.uint32))
    packed.sort()
    ordered, rows = unpack(packed)
    return ordered, rows.astype(np.int64)


def run_starts(ordered: NDArray) -> NDArray[np.int64]:
    """Where each run of equal numbers starts, in numbers of which equal ones are side by side."""
    return np.flatnonzero(np.concatenate([np.ones(min(ordered.size, 1), bool), ordered[1:] != ordered[:-1]]))


def run_sums(counts: NDArray, starts: NDArray[np.int64]) -> NDArray:
    """Sums over the runs that start at `starts`; whole numbers as int64."""
    if not starts.size:
        return counts[:0].astype(np.float64 if counts.dtype.kind == "f" else np.int64)
    return np.add.reduceat(counts, starts, dtype=np.float64 if counts.dtype.kind == "f" else np.int64)
