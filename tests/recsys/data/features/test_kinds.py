"""Every kind against a slow reference that goes row by row, on Arrow arrays in all their forms."""

from __future__ import annotations

import bisect
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kinds import CUTS, INTEGERS, TEXTS, column, hash_of, lists, read, transforms

from recsys.errors import InputError

small, words = st.integers(0, 20), st.sampled_from(["", "a", "bc", "12345678", "123456789", "ü", "z"])
WORDS = ["a", "ü", "12345678"]
NUMBERS = ["3", "0", "17"]


def table_row(encoding: dict[str, Any], learned: list[str], offset: int, value: Any) -> int:
    """Where a value lies, in the words of the documentation."""
    if value is None:
        return 0
    if encoding["encoding"] == "identity":
        return 1 + value - offset
    if encoding["encoding"] == "vocabulary":
        return 1 + learned.index(str(value)) if str(value) in learned else 0
    return 1 + hash_of(value) % encoding["buckets"]


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, Any], list[str], int, pa.DataType, st.SearchStrategy[Any]]:
    """An encoding, its vocabulary, its offset, the Arrow type and the values of a column that fits."""
    text, encoding = draw(st.booleans()), draw(st.sampled_from(["hash", "identity", "vocabulary"]))
    if encoding == "identity":
        offset = draw(st.integers(-30, 0))
        own = {"encoding": encoding, "buckets": 21 - offset} | ({"offset": offset} if offset else {})
        return own, [], offset, draw(st.sampled_from(INTEGERS)), small
    own = {"encoding": encoding, "buckets": draw(st.integers(3, 1000))}
    if encoding == "vocabulary":
        own["vocabulary"] = "not there"
    kind = draw(st.sampled_from(TEXTS if text else INTEGERS))
    return own, (WORDS if text else NUMBERS) if encoding == "vocabulary" else [], 0, kind, words if text else small


def vocabulary(values: list[str]) -> dict[str, Any]:
    return {"x": {"values": values}} if values else {}


@settings(deadline=None)
@given(data=st.data(), table=tables(), cuts=CUTS, filled=st.booleans())
def test_id(data: st.DataObject, table: Any, cuts: list[int], filled: bool) -> None:
    own, learned, offset, kind, some = table
    values = data.draw(st.lists(st.one_of(st.none(), some), min_size=1))
    default = data.draw(some) if filled else None
    features = transforms({"kind": "id", "name": "x", **own, "default": default}, learned=vocabulary(learned))
    ids, dense = read(features, {"x": data.draw(column(values, kind))}, cuts)
    assert ids == {"x": [table_row(own, learned, offset, default if value is None else value) for value in values]}
    assert dense.shape == (len(values), 0)


@settings(deadline=None)
@given(data=st.data(), table=tables(), cuts=CUTS, filled=st.booleans(), weighted=st.booleans(), most=st.integers(1, 6))
def test_ids(data: st.DataObject, table: Any, cuts: list[int], filled: bool, weighted: bool, most: int) -> None:
    own, learned, offset, kind, some = table
    weight = st.one_of(st.none(), st.floats(0, 100, width=32))
    pair = st.tuples(st.one_of(st.none(), some), weight)
    rows = data.draw(st.lists(st.one_of(st.none(), st.lists(pair, max_size=5)), min_size=1, max_size=8))
    default = data.draw(some) if filled else None
    feature = {"kind": "ids", "name": "x", **own, "default": default, "max_length": most, "weights": "w" if weighted else None}
    columns = {"x": data.draw(lists([row and [value for value, _ in row] for row in rows], kind))}
    if weighted:
        columns["w"] = data.draw(lists([row and [own for _, own in row] for row in rows], pa.float32()))
    ids, _ = read(transforms(feature, learned=vocabulary(learned)), columns, cuts)
    expected: list[Any] = []
    for row in rows:
        pairs = [(None, 1.0)] if row is None and filled else (row or [])[-most:]
        found = [table_row(own, learned, offset, default if value is None else value) for value, _ in pairs]
        expected.append(list(zip(found, [1.0 if own is None else own for _, own in pairs], strict=True)) if weighted else found)
    assert ids == {"x": expected}


@settings(deadline=None)
@given(data=st.data(), table=tables(), cuts=CUTS, most=st.integers(1, 6), filled=st.booleans())
def test_sequence(data: st.DataObject, table: Any, cuts: list[int], most: int, filled: bool) -> None:
    """The last elements of aligned lists, one on a shared table with an own default, one on its own table."""
    own, learned, offset, kind, some = table
    event = st.tuples(st.one_of(st.none(), some), st.one_of(st.none(), words))
    rows = data.draw(st.lists(st.one_of(st.none(), st.lists(event, max_size=7)), min_size=1, max_size=8))
    default = data.draw(some) if filled else None
    items = [{"column": "items", "table": "x", "target": "x", "default": default}, {"column": "actions", "buckets": 9}]
    features = [{"kind": "id", "name": "x", **own}, {"kind": "sequence", "name": "past", "max_length": most, "items": items}]
    columns = {
        "x": pa.nulls(len(rows), kind),
        "items": data.draw(lists([row and [item for item, _ in row] for row in rows], kind)),
        "actions": data.draw(lists([row and [action for _, action in row] for row in rows], pa.string())),
    }
    ids, _ = read(transforms(*features, learned=vocabulary(learned)), columns, cuts)
    last = [(row or [])[-most:] for row in rows]
    hashed = {"encoding": "hash", "buckets": 9}
    assert ids == {
        "x": [0] * len(rows),
        "past.items": [[table_row(own, learned, offset, default if item is None else item) for item, _ in row] for row in last],
        "past.actions": [[table_row(hashed, [], 0, action) for _, action in row] for row in last],
    }


@settings(deadline=None)
@given(
    data=st.data(),
    cuts=CUTS,
    log1p=st.booleans(),
    standardise=st.booleans(),
    missing=st.booleans(),
    clip=st.one_of(st.none(), st.floats(0.5, 3)),
    default=st.one_of(st.none(), st.floats(0, 50)),
    whole=st.booleans(),
)
def test_number(
    data: st.DataObject,
    cuts: list[int],
    log1p: bool,
    standardise: bool,
    missing: bool,
    clip: float | None,
    default: float | None,
    whole: bool,
) -> None:
    kind, some = (data.draw(st.sampled_from(INTEGERS)), small) if whole else (pa.float32(), st.floats(0, 1000, width=32))
    values = data.draw(st.lists(st.one_of(st.none(), some), min_size=1))
    mean, deviation = 1.5, 0.25
    learned = {"x": {"count": 9, "mean": mean, "deviation": deviation, "log1p": log1p}}
    feature = {
        "kind": "number",
        "name": "x",
        "log1p": log1p,
        "standardise": standardise,
        "missing": missing,
        "clip": clip,
        "default": default,
    }
    if not standardise and default is not None:
        learned = {}  # nothing to learn
    ids, dense = read(transforms(feature, learned=learned), {"x": data.draw(column(values, kind))}, cuts)
    expected = []
    for value in values:
        given = default if value is None else value
        number = mean if given is None else math.log1p(given) if log1p else given
        number = (number - mean) / deviation if standardise else number
        number = number if clip is None else max(-clip, min(clip, number))
        expected.append([number, float(value is None)] if missing else [number])
    assert ids == {}
    np.testing.assert_allclose(dense, expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(
    data=st.data(),
    cuts=CUTS,
    boundaries=st.lists(st.integers(-3, 20), min_size=1, max_size=6, unique=True).map(sorted),
    default=st.one_of(st.none(), st.integers(-5, 25)),
    learned=st.booleans(),
)
def test_bucket(data: st.DataObject, cuts: list[int], boundaries: list[int], default: int | None, learned: bool) -> None:
    kind, some = data.draw(st.sampled_from([(pa.int16(), small), (pa.float64(), st.sampled_from([-9.0, 0.0, 2.5, 3.0, 99.0]))]))
    values = data.draw(st.lists(st.one_of(st.none(), some), min_size=1))
    source = {"quantiles": 8} if learned else {"boundaries": boundaries}
    statistics = {"x": {"count": 5, "intervals": 8, "boundaries": boundaries}} if learned else {}
    features = [{"kind": "bucket", "name": "x", **source, "default": default}, {"kind": "bucket", "name": "y", "table": "x"}]
    array = data.draw(column(values, kind))
    ids, _ = read(transforms(*features, learned=statistics), {"x": array, "y": array}, cuts)

    def row(value: float | None) -> int:
        return 0 if value is None else 1 + bisect.bisect_left(boundaries, value)

    assert ids == {"x": [row(default if value is None else value) for value in values], "y": [row(value) for value in values]}


@settings(deadline=None)
@given(data=st.data(), cuts=CUTS, buckets=st.integers(1, 10**6), filled=st.booleans())
def test_cross(data: st.DataObject, cuts: list[int], buckets: int, filled: bool) -> None:
    """With a default all columns are strings, since it has to fit each of them."""
    last, kind = (words, pa.string()) if filled else (small, pa.int16())
    rows = data.draw(st.lists(st.tuples(*(st.one_of(st.none(), some) for some in (words, words, last))), min_size=1))
    columns = {
        name: data.draw(column([row[place] for row in rows], own))
        for place, (name, own) in enumerate({"a": pa.string(), "b": pa.large_string(), "c": kind}.items())
    }
    feature = {"kind": "cross", "name": "x", "columns": [*columns], "buckets": buckets, "default": "bc" if filled else None}
    ids, _ = read(transforms(feature), columns, cuts)
    full = [tuple("bc" if filled and part is None else part for part in row) for row in rows]
    expected = [0 if None in row else 1 + hash_of(row) % buckets for row in full]
    assert ids == {"x": expected}


@settings(deadline=None)
@given(data=st.data(), cuts=CUTS, size=st.integers(1, 5), kind=st.sampled_from([pa.float32(), pa.float64(), pa.int32()]))
def test_vector(data: st.DataObject, cuts: list[int], size: int, kind: pa.DataType) -> None:
    some = small if kind == pa.int32() else st.floats(-1e6, 1e6, width=32)
    rows = data.draw(st.lists(st.one_of(st.none(), st.lists(some, min_size=size, max_size=size)), min_size=1, max_size=8))
    fixed = data.draw(st.booleans())
    array = pa.array([None, *rows], pa.list_(kind, size))[1:] if fixed else data.draw(lists(rows, kind))
    features = [
        {"kind": "number", "name": "n", "standardise": False, "default": 7},
        {"kind": "vector", "name": "x", "size": size, "default": -1},
    ]
    _, dense = read(transforms(*features), {"n": pa.nulls(len(rows), pa.int8()), "x": array}, cuts)
    np.testing.assert_array_equal(dense, np.array([[7, *(row or [-1] * size)] for row in rows], np.float32))


def test_half_precision_vectors() -> None:
    array = pa.array([np.array([0.5, 2], np.float16), np.array([1, -1], np.float16)], pa.list_(pa.float16()))
    assert read(transforms({"kind": "vector", "name": "x", "size": 2}), {"x": array})[1].tolist() == [[0.5, 2], [1, -1]]


def test_two_features_have_ranges_of_their_own_in_one_table() -> None:
    features = [
        {"kind": "id", "name": "country", "buckets": 30, "encoding": "identity"},
        {"kind": "id", "name": "device", "table": "country", "offset": -20},
        {"kind": "ids", "name": "devices", "table": "country", "offset": -20, "default": 1},
    ]
    columns = {"country": pa.array([0, 19, None]), "device": pa.array([0, 9, None]), "devices": pa.array([[0, None], [], None])}
    ids, _ = read(transforms(*features), columns)
    assert ids == {"country": [1, 20, 0], "device": [21, 30, 0], "devices": [[21, 22], [], [22]]}
    with pytest.raises(InputError, match=r"log, column 'device': id 10 is outside -20 \.\. 9 of table 'country'"):
        read(transforms(*features), columns | {"device": pa.array([0, 10, 0])})


def test_unsigned_ids_beyond_int64_are_known_to_a_vocabulary() -> None:
    own = {"kind": "id", "name": "x", "buckets": 9, "encoding": "vocabulary", "vocabulary": "-"}
    features = transforms(own, learned={"x": {"values": [str(2**64 - 1), "5"]}})
    assert read(features, {"x": pa.array([5, 2**64 - 1, 6], pa.uint64())})[0] == {"x": [2, 1, 0]}


X = {"name": "x"}
ID = {**X, "kind": "id", "buckets": 9}
CROSS = {**X, "kind": "cross", "columns": ["x", "y"], "buckets": 9}
VOCABULARY = {**ID, "encoding": "vocabulary", "vocabulary": "-"}


@pytest.mark.parametrize(
    ("feature", "columns", "message"),
    [
        ({**X, "kind": "vector", "size": 2}, {"x": [[1.0, 2.0], [3.0]]}, "log, column 'x': a list of 1 numbers, but `size` is 2"),
        ({**X, "kind": "vector", "size": 2}, {"x": [[1.0, None]]}, "log, column 'x': a null, NaN or infinity"),
        ({**X, "kind": "vector", "size": 2}, {"x": [[1.0, math.nan]]}, "log, column 'x': a null, NaN or infinity"),
        ({**X, "kind": "bucket", "boundaries": [1]}, {"x": [math.nan]}, "log, column 'x': NaN or infinity"),
        (
            {**X, "kind": "ids", "buckets": 9, "weights": "w"},
            {"x": [[1, 2]], "w": [[1.0]]},
            "'x' and 'w' of the feature 'x' have lists of 2 and 1",
        ),
        ({**X, "kind": "ids", "buckets": 9, "weights": "w"}, {"x": [[1]], "w": [[-1.0]]}, "log, column 'w': weight -1, but"),
        ({**X, "kind": "ids", "buckets": 9, "weights": "w"}, {"x": [[1]], "w": [[math.nan]]}, "log, column 'w': weight nan, but"),
        ({**ID, "default": "a"}, {"x": [1]}, "x: default 'a' is of another type than its column, int64"),
        ({**ID, "default": 1}, {"x": ["a"]}, "x: default 1 is of another type than its column, string"),
        ({**ID, "encoding": "identity", "default": 9}, {"x": [1]}, "default 9: id 9 is outside 0 .. 8 of table 'x'"),
        ({**CROSS, "default": 1}, {"x": [1], "y": ["a"]}, "log, column 'y': is string, but the default of 'x' is not"),
        (VOCABULARY, {"x": [1]}, "log, column 'x': holds integers, but its vocabulary has 'a'"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(feature: dict[str, Any], columns: dict[str, Any], message: str) -> None:
    arrays = {name: pa.array(values) for name, values in columns.items()}
    with pytest.raises(InputError) as refusal:
        read(transforms(feature, learned={"x": {"values": ["a"]}} if feature is VOCABULARY else None), arrays)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([ID, {**ID}], "the name 'x' is given 2 times"),
        ([{**X, "kind": "id", "table": "y"}], "x shares the table 'y', which no feature owns"),
        ([ID, {"name": "y", "kind": "bucket", "table": "x"}], "y shares the table 'x', whose rows stand for something else"),
        ([ID, {"name": "y", "kind": "cross", "columns": ["a", "b"], "table": "x"}], "y shares the table 'x', whose rows"),
        ([CROSS, {"name": "y", "kind": "id", "table": "x"}], "y shares the table 'x', whose rows"),
        (
            [ID, {"name": "y", "kind": "id", "table": "x", "offset": 3}],
            "y: `offset` goes with `encoding: identity`, but the table 'x' has hash",
        ),
        ([{**X, "kind": "bucket", "quantiles": 4}], "statistics of the feature 'x' are missing; fit them again"),
        ([VOCABULARY], "statistics of the feature 'x' are missing; fit them again"),
        ([{**X, "kind": "sequence", "items": [{"column": "a", "buckets": 3}] * 2}], "the name 'x.a' is given 2 times"),
    ],
)
def test_features_that_do_not_fit_each_other_are_refused(features: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        transforms(*features)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({**ID, "vocabulary": "v"}, "give `vocabulary`, a file, exactly where `encoding` is `vocabulary`"),
        ({**ID, "encoding": "vocabulary"}, "give `vocabulary`, a file, exactly where `encoding` is `vocabulary`"),
        ({**X, "kind": "id", "table": "y", "vocabulary": "v"}, "`vocabulary` belongs to the feature that owns the table"),
        ({**ID, "offset": 1}, "`offset` goes with `encoding: identity`"),
        ({**X, "kind": "bucket"}, "give one of `boundaries`, `quantiles` and `table`"),
        ({**X, "kind": "bucket", "boundaries": [1], "quantiles": 2}, "give one of `boundaries`, `quantiles` and `table`"),
        ({**X, "kind": "bucket", "boundaries": [1, 1]}, "boundaries must rise"),
        ({**CROSS, "columns": ["a"]}, "at least 2 items"),
        ({**CROSS, "table": "y"}, "give either `buckets`"),
    ],
)
def test_settings_that_say_nothing_are_refused(feature: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transforms(feature)
