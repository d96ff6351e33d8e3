"""The hash of ids once more, in Python's integers, as recsys/data/hashing.py defines it."""

from __future__ import annotations

MASK = 2**64 - 1


def step(word: int) -> int:
    """The hash of a word."""
    z = (word + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def hash_bytes(data: bytes) -> int:
    """The hash of a string's bytes."""
    value = step(len(data))
    for start in range(0, len(data), 8):
        value = step(value ^ int.from_bytes(data[start : start + 8], "little"))
    return value
