"""The sketch of quantiles against all numbers at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.data import quantiles
from recsys.data.quantiles import QuantileSketch

AT = np.arange(1, 20) / 20


def sketch_of(values: np.ndarray, cuts: list[int]) -> QuantileSketch:
    """The sketch of values that come in pieces, each measured by itself and merged, the last one added."""
    pieces = np.split(values, sorted(cut % (len(values) + 1) for cut in cuts))
    sketch = QuantileSketch()
    for piece in pieces[:-1]:
        other = QuantileSketch()
        other.add(piece)
        sketch.merge(other)
    sketch.add(pieces[-1])
    return sketch


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1), cuts=st.lists(st.integers(0, 200), max_size=4))
def test_few_numbers_have_their_exact_quantiles(values: list[float], cuts: list[int]) -> None:
    sketch = sketch_of(np.array(values), cuts)
    assert sketch.count == len(values)
    assert sketch.quantiles(AT).tolist() == np.quantile(values, AT, method="inverted_cdf").tolist()


SHAPES: list[Callable[[np.random.Generator, int], np.ndarray]] = [
    lambda random, size: random.normal(size=size),
    lambda random, size: np.arange(size, dtype=float),
    lambda random, size: -np.arange(size, dtype=float),
    lambda random, size: random.integers(0, 4, size).astype(float),
    lambda random, size: np.abs(np.arange(size) - size / 2),
]


@settings(deadline=None, max_examples=60)
@given(shape=st.sampled_from(SHAPES), size=st.integers(1, 5000), cuts=st.lists(st.integers(0, 5000), max_size=5), seed=st.integers(0, 99))
def test_many_numbers_are_off_by_no_more_than_promised(
    shape: Callable[[np.random.Generator, int], np.ndarray], size: int, cuts: list[int], seed: int
) -> None:
    """With a capacity of 64, so that all levels are used."""
    values = shape(np.random.default_rng(seed), size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantiles, "CAPACITY", 64)
        sketch = sketch_of(values, cuts)
        assert sum(len(part) for parts in sketch._levels for part in parts) <= 128 * len(sketch._levels)
        got = sketch.quantiles(AT)
        allowed = max(0, np.log2(size / 64)) / 128
    ranks = np.sort(values)
    below, upto = np.searchsorted(ranks, got, "left") / size, np.searchsorted(ranks, got, "right") / size
    assert (below <= AT + allowed + 1e-12).all()
    assert (upto >= AT - allowed - 1e-12).all()


def test_no_numbers_have_no_quantiles() -> None:
    assert QuantileSketch().quantiles(AT).shape == (0,)


def test_the_memory_of_a_long_stream_is_bounded() -> None:
    sketch, random = QuantileSketch(), np.random.default_rng(0)
    for _ in range(200):
        sketch.add(random.exponential(size=32768))
    kept = sum(len(part) for parts in sketch._levels for part in parts)
    assert (sketch.count, kept) == (6_553_600, min(kept, 10 * 2 * quantiles.CAPACITY))
    exact = -np.log1p(-AT)  # of the exponential distribution
    assert sketch.quantiles(AT) == pytest.approx(exact, rel=3e-3)
