"""The one hash that turns ids into table rows: 64 bits, stable for ever, easy to write again in another language.

All arithmetic is modulo 2^64:

    finalise(z):  z ^= z >> 30;  z *= 0xBF58476D1CE4E5B9;  z ^= z >> 27;  z *= 0x94D049BB133111EB;  z ^= z >> 31
    step(z)     = finalise(z + 0x9E3779B97F4A7C15)                       (one output of splitmix64, Steele et al. 2014)
    hash(integer i)  = step(i as a two's complement 64-bit word)
    hash(bytes b)    = h, from h = step(len(b)), then h = step(h ^ w) for each 8-byte little-endian word w of b, zero-padded

    hash(tuple t)    = h, from h = step(number of values), then h = step(h ^ hash(v)) for each value v

A string is its UTF-8 bytes. A value lies in table row 1 + hash % buckets; row 0 is for missing values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.data.arrow import integers, valid

Words = NDArray[np.uint64]
Rows = NDArray[np.signedinteger]
Number = TypeVar("Number", bound=np.generic)

_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BLOCK = 16384  # words whose temporaries stay in the second-level cache


def hash_integers(values: NDArray[np.int64] | Words) -> Words:
    """(N,) hashes of (N,) integers; a narrower type hashes like the same number in 64 bits."""
    words = values.view(np.uint64) if values.dtype.itemsize == 8 else values.astype(np.int64).view(np.uint64)
    hashes, scratch = np.empty(len(words), np.uint64), np.empty(min(_BLOCK, len(words)), np.uint64)
    for start in range(0, len(words), _BLOCK):
        block = hashes[start : start + _BLOCK]
        _step(words[start : start + _BLOCK], block, scratch[: len(block)])
    return hashes


def hash_strings(values: pa.Array) -> Words:
    """(N,) hashes of N strings or binaries (a null hashes like the empty string).

    Works on whole columns of 8-byte words: first words of all strings, then second words of those that have one, and so on.
    """
    starts, lengths, data = _bytes(values)
    hashes = hash_integers(lengths)
    # Row i of `unaligned` is the word that begins at byte i.
    unaligned = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    by_length = np.argsort(-lengths, kind="stable")
    falling = -lengths[by_length]
    for at in range(0, int(lengths.max(initial=0)), 8):
        active = by_length[: np.searchsorted(falling, -at)]
        words = unaligned[starts[active] + at]
        missing = np.clip(8 - (lengths[active] - at), 0, 7).astype(np.uint64) * np.uint64(8)
        hashes[active] = hash_integers(hashes[active] ^ (words & (np.uint64(2**64 - 1) >> missing)))
    return hashes


def buckets_of(hashes: Words, buckets: int) -> Rows:
    """(N,) table rows 1 + hash % buckets."""
    rows, scratch = np.empty(len(hashes), row_type(buckets)), np.empty(min(_BLOCK, len(hashes)), np.uint64)
    for start in range(0, len(hashes), _BLOCK):
        words = hashes[start : start + _BLOCK]
        block = scratch[: len(words)]
        # x - x // b * b: numpy divides by a constant with SIMD, which its remainder does not.
        np.floor_divide(words, np.uint64(buckets), out=block)
        np.multiply(block, np.uint64(buckets), out=block)
        np.subtract(words, block, out=block)
        np.add(block, np.uint64(1), out=rows[start : start + _BLOCK], casting="unsafe")
    return rows


def row_type(buckets: int) -> type[np.signedinteger]:
    """The narrowest type of table rows: windows of ids are what memory and its bandwidth go to."""
    return np.int32 if buckets < 2**31 - 1 else np.int64


def hash_values(values: pa.Array) -> Words:
    """(N,) hashes of an Arrow array of integers, booleans, strings or binaries, plain or dictionary-encoded; anything where null."""
    if pa.types.is_dictionary(values.type):
        return _of_distinct(values, hash_values(values.dictionary))
    return hash_integers(integers(values)) if _whole(values.type) else hash_strings(values)


def hash_tuples(columns: Sequence[Words]) -> Words:
    """(N,) hashes of the tuples that columns of (N,) hashes make up."""
    hashes = hash_integers(np.full(len(columns[0]), len(columns)))
    for words in columns:
        hashes = hash_integers(hashes ^ words)
    return hashes


def hashed_rows(values: pa.Array, buckets: int) -> Rows:
    """(N,) table rows of an Arrow array of integers, booleans, strings or binaries (plain or dictionary-encoded); null is row 0."""
    if not pa.types.is_dictionary(values.type) and _whole(values.type):
        return blank(_rows_of_integers(integers(values), buckets), values)
    return by_distinct(values, lambda distinct: buckets_of(hash_values(distinct), buckets))


def by_distinct(values: pa.Array, rows_of: Callable[[pa.Array], Rows]) -> Rows:
    """(N,) table rows of an Arrow array, with `rows_of` asked for those of its distinct values alone; null is row 0."""
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    return blank(_of_distinct(values, blank(rows_of(values.dictionary), values.dictionary)), values.indices)


def _of_distinct(values: pa.DictionaryArray, distinct: NDArray[Number]) -> NDArray[Number]:
    """(N,) what (M,) distinct values are, at each place of a dictionary-encoded array; anything where null."""
    if not len(distinct):
        return np.zeros(len(values), distinct.dtype)
    positions = integers(values.indices)
    if values.indices.null_count:
        positions = np.where(valid(values.indices), positions, 0)
    return distinct[positions]


def _rows_of_integers(values: Words | NDArray[np.int64], buckets: int) -> Rows:
    """Small ids, many times over, are looked up in the rows of 0 .. the largest of them."""
    if len(values) and values.min() >= 0 and values.max() < len(values):
        return buckets_of(hash_integers(np.arange(int(values.max()) + 1)), buckets)[values]
    return buckets_of(hash_integers(values), buckets)


def _whole(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind)


def blank(rows: Rows, values: pa.Array) -> Rows:
    """The table rows, with 0 where the Arrow array has a null."""
    if values.null_count:
        rows[~valid(values)] = 0
    return rows


def _bytes(values: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """(N,) starts and (N,) lengths of the values in a copy of their bytes that has 8 more at its end."""
    wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets or bytes(8), np.int64 if wide else np.int32)[values.offset : values.offset + len(values) + 1].astype(
        np.int64
    )
    plain = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]] if len(values) else np.empty(0, np.uint8)
    lengths = np.diff(ends)
    if values.null_count:
        lengths[~valid(values)] = 0
    return ends[:-1] - ends[0], lengths, np.concatenate([plain, np.zeros(8, np.uint8)])


def _step(words: Words, out: Words, scratch: Words) -> None:
    np.add(words, _GOLDEN, out=out)
    for shift, factor in ((30, _FIRST), (27, _SECOND), (31, None)):
        np.right_shift(out, np.uint64(shift), out=scratch)
        np.bitwise_xor(out, scratch, out=out)
        if factor is not None:
            np.multiply(out, factor, out=out)
