from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hash_definition import MASK, hash_bytes, step
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsys.data.hashing import buckets_of, hash_integers, hash_strings, hash_tuples, hashed_rows


def test_golden_values() -> None:
    """The first two are the published first outputs of splitmix64 from seeds 0 and 1234567; the hash may never change."""
    assert hash_integers(np.array([0, 1234567, -1])).tolist() == [0xE220A8397B1DCDAF, 6457827717110365317, 0xE4D971771B652C20]
    texts = ["", "a", "12345678", "123456789", "商品", "x" * 40]
    golden = [
        16294208416658607535,
        6774081908283191102,
        9501447833425779875,
        9003943604911055402,
        15020572230159715086,
        341921061342086667,
    ]
    assert hash_strings(pa.array(texts)).tolist() == golden
    pair = hash_tuples([hash_integers(np.array([7])), hash_strings(pa.array(["a"]))])
    assert pair.tolist() == [432540997828261945]


@settings(deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_follow_the_definition(values: list[int]) -> None:
    assert hash_integers(np.array(values, np.int64)).tolist() == [step(value & MASK) for value in values]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=30), st.binary(min_size=100, max_size=200))), st.integers(0, 3))
def test_binaries_follow_the_definition(values: list[bytes | None], start: int) -> None:
    for kind in (pa.binary(), pa.large_binary()):
        hashes = hash_strings(pa.array(values, kind)[start:])
        assert hashes.tolist() == [hash_bytes(value or b"") for value in values[start:]]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=20))), st.integers(1, 1000))
def test_every_form_of_a_string_column_gives_the_same_rows(values: list[str | None], buckets: int) -> None:
    plain = pa.array(values, pa.string())
    expected = [0 if value is None else 1 + hash_bytes(value.encode()) % buckets for value in values]
    for form in (plain, plain.cast(pa.large_string()), plain.dictionary_encode(), pa.array([None, *values], pa.string())[1:]):
        assert hashed_rows(form, buckets).tolist() == expected


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()])
@settings(deadline=None)
@given(values=st.lists(st.one_of(st.none(), st.integers(0, 127)), min_size=1), signs=st.integers(0, 1))
def test_every_width_agrees(kind: pa.DataType, values: list[int | None], signs: int) -> None:
    if signs and pa.types.is_signed_integer(kind):
        values = [None if value is None else -value for value in values]
    expected = [0 if value is None else 1 + step(value & MASK) % 97 for value in values]
    array = pa.array(values, kind)
    assert hashed_rows(array, 97).tolist() == expected
    assert hashed_rows(array.dictionary_encode(), 97).tolist() == expected
    assert hashed_rows(array[1:], 97).tolist() == expected[1:]


def test_a_null_inside_a_dictionary_is_missing() -> None:
    array = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0]), pa.array([None, "a"]))
    assert hashed_rows(array, 10).tolist() == [0, 1 + hash_bytes(b"a") % 10, 0, 0]


def test_huge_tables_have_64_bit_rows() -> None:
    hashes = np.array([MASK, 2**40], np.uint64)
    assert buckets_of(hashes, 2**40).tolist() == [1 + MASK % 2**40, 1]


@pytest.mark.parametrize("kind", ["consecutive", "multiples", "strings"])
def test_buckets_are_evenly_filled(kind: str) -> None:
    """Chi-square against the uniform; the hash is fixed, so the outcome is too."""
    numbers = np.arange(100_000)
    values = {"consecutive": pa.array(numbers), "multiples": pa.array(numbers * 1024), "strings": pa.array(numbers).cast(pa.string())}[kind]
    for buckets in (64, 1000):
        counts = np.bincount(hashed_rows(values, buckets), minlength=buckets + 1)
        assert counts[0] == 0
        assert stats.chisquare(counts[1:]).pvalue > 1e-3
