"""Arrow arrays in every form that a log may have them in, and what features make of them, as plain lists."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from hash_definition import MASK, hash_bytes, step
from hypothesis import strategies as st
from pydantic import TypeAdapter

from recsys.data.columns import Rows, join
from recsys.data.features import Feature
from recsys.data.layout import layout
from recsys.data.ragged import Ragged
from recsys.data.statistics import Statistics
from recsys.data.transforms import Transforms

INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
TEXTS = [pa.string(), pa.large_string()]


def hash_of(value: Any) -> int:
    """The hash of an integer, a string or a tuple."""
    if isinstance(value, int):
        return step(value & MASK)
    if isinstance(value, str):
        return hash_bytes(value.encode())
    result = step(len(value))
    for part in value:
        result = step(result ^ hash_of(part))
    return result


def transforms(*features: dict[str, Any], learned: dict[str, Any] | None = None) -> Transforms:
    """The transforms of features given as in YAML."""
    parsed = TypeAdapter(list[Feature]).validate_python(list(features))
    return Transforms(layout(parsed), [], None, Statistics(features=learned or {}))


def read(own: Transforms, columns: dict[str, pa.Array], cuts: Sequence[int] = ()) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Ids by key and the dense matrix of a log that comes in several batches: an id a row, a list a row, or a list of (id, weight)."""
    rows = len(next(iter(columns.values())))
    whole = pa.RecordBatch.from_pydict(columns)
    edges = [0, *sorted(cut % (rows + 1) for cut in cuts), rows]
    parts = [own(whole.slice(first, last - first), "log") for first, last in pairwise(edges)]
    return as_lists(own, join(parts))


def as_lists(own: Transforms, rows: Rows) -> tuple[dict[str, list[Any]], np.ndarray]:
    """Rows as plain lists."""
    found: dict[str, list[Any]] = {}
    for run, ids in zip(own.layout.runs, rows.ids, strict=True):
        if not isinstance(ids, Ragged):
            found |= {slot.key: column.tolist() for slot, column in zip(run, ids, strict=True)}
            continue
        (slot,) = run
        pieces = [slice(first, last) for first, last in pairwise(ids.offsets)]
        found[slot.key] = [ids.values[piece].tolist() for piece in pieces]
        if slot.weighted:
            found[slot.key] = [list(zip(ids.values[piece].tolist(), ids.weights[piece].tolist(), strict=True)) for piece in pieces]
    return found, rows.dense


@st.composite
def column(draw: st.DrawFn, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values as an array: plain or in a dictionary, with or without other values around it, nulls in the dictionary, too."""
    around = draw(st.integers(0, 3))
    padded = [*list(values)[:around], *values, *list(values)[:around]]
    before = len(list(values)[:around])
    form = draw(st.sampled_from(["plain", "dictionary", "null in the dictionary"]))
    array = pa.array(padded, kind)
    if form == "dictionary":
        array = array.dictionary_encode()
    if form == "null in the dictionary" and len(array):
        distinct = pa.array([None, *dict.fromkeys(value for value in padded if value is not None)], kind)
        places = {value: place for place, value in enumerate(distinct.to_pylist())}
        array = pa.DictionaryArray.from_arrays(pa.array([places[value] for value in array.to_pylist()], pa.int32()), distinct)
    return array.slice(before, len(values))


@st.composite
def lists(draw: st.DrawFn, rows: Sequence[Sequence[Any] | None], kind: pa.DataType) -> pa.Array:
    """Rows of lists as an array, sliced, in which null rows may cover elements, of a dictionary or not."""
    around = list(rows)[: draw(st.integers(0, 2))]
    padded = [*around, *rows, *around]
    hidden = draw(st.integers(0, 2))
    filler = next((value for row in padded if row for value in row if value is not None), None)
    flat = [value for row in padded for value in ([filler] * hidden if row is None else row)]
    elements = draw(column(flat, kind))
    offsets = np.cumsum([0, *(hidden if row is None else len(row) for row in padded)])
    mask = pa.array([row is None for row in padded], pa.bool_())
    cls, width = draw(st.sampled_from([(pa.ListArray, pa.int32()), (pa.LargeListArray, pa.int64())]))
    return cls.from_arrays(pa.array(offsets, width), elements, mask=mask).slice(len(around), len(rows))


CUTS = st.lists(st.integers(0, 100), max_size=3)
