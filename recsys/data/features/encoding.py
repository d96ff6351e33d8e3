"""How the values of id columns become table rows: hashed, as they are, or through a vocabulary."""

from __future__ import annotations

from typing import Literal, Protocol, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, PositiveInt, model_validator

from recsys.data.arrow import fits, known, plain, stored, valid
from recsys.data.features.embedding import Buckets, owner_of
from recsys.data.features.feature import Tables
from recsys.data.features.vocabulary import Vocabulary, VocabularyFile, VocabularyIndex
from recsys.data.hashing import blank, hashed_rows, row_type
from recsys.data.ragged import Ints
from recsys.data.statistics import Measure, Statistics
from recsys.errors import InputError

MANAGED_IDS = 2**62 - 1  # ids of `encoding: managed` are told apart by their hash modulo this


class Encoding(Protocol):
    """(N,) table rows of an Arrow array of ids; row 0 where null. `where` names file, row group and column in errors."""

    def __call__(self, values: pa.Array, where: str) -> Ints: ...


class Table(Buckets):
    """The embedding table of an id column, and how ids become its rows."""

    encoding: Literal["hash", "identity", "vocabulary", "managed"] = Field(
        "hash",
        description="`hash` spreads any int64 or string over the buckets; `identity` takes ids `offset` .. `offset` + buckets - 1 as they "
        "are; `vocabulary` takes the values of a file; `managed` (of kind `id` alone) gives each id a row of its own while it is in use. "
        "A shared table's owner decides.",
    )
    eviction: Literal["lfu", "lru", "distance_lfu"] | None = Field(
        None, description="Who loses its row to a new id, with `managed`: the rarest, the longest unseen, or by count over time unseen."
    )
    eviction_every: PositiveInt = Field(10, description="Steps from one such contest to the next.")
    vocabulary: str | None = Field(
        None, description="Text file of `encoding: vocabulary`, one value a line, at most `buckets`; other values count as missing."
    )
    offset: int | None = Field(
        None, description="Id that lies in the first row, with `identity`; the table owner's, else 0, when left out. It may be negative."
    )
    default: int | str | None = Field(None, description="Id that stands for null; null has a row of its own when left out.")

    @model_validator(mode="after")
    def _encodings_have_their_keys(self) -> Self:
        if self.table is not None:
            if self.vocabulary is not None:
                raise ValueError("`vocabulary` belongs to the feature that owns the table")
            return self
        if (self.vocabulary is None) == (self.encoding == "vocabulary"):
            raise ValueError("give `vocabulary`, a file, exactly where `encoding` is `vocabulary`")
        if self.offset is not None and self.encoding != "identity":
            raise ValueError("`offset` goes with `encoding: identity`")
        if (self.eviction is None) == (self.encoding == "managed"):
            raise ValueError("give `eviction` (lfu, lru or distance_lfu) exactly where `encoding` is `managed`")
        return self

    def vocabulary_measures(self, key: str) -> dict[str, Measure]:
        """The file to read, of a table that it owns."""
        return {} if self.vocabulary is None else {key: VocabularyFile(self.vocabulary, self.buckets or 0)}


def reads(own: Table, key: str, tables: Tables) -> str:
    """What the column of an id feature holds, as `Need` names it."""
    return "integer" if _owner(own, key, tables).encoding == "identity" else "id"


def encoding_of(own: Table, key: str, tables: Tables, statistics: Statistics) -> Encoding:
    """How ids become rows of the table that `own` uses; a shared table's owner decides, but for offset and default."""
    encoding = _encoding(_owner(own, key, tables), own.table or key, statistics, own.offset)
    return encoding if own.default is None else _WithDefault(encoding, own.default, key)


def _owner(own: Table, key: str, tables: Tables) -> Table:
    owner = owner_of(own.table or key, tables, Table, key)
    if own.offset is not None and owner.encoding != "identity":
        raise InputError(f"features: {key}: `offset` goes with `encoding: identity`, but the table {own.table!r} has {owner.encoding}")
    return owner


def _encoding(owner: Table, name: str, statistics: Statistics, offset: int | None) -> Encoding:
    assert owner.buckets is not None
    if owner.encoding == "hash":
        return _Hashed(owner.buckets)
    if owner.encoding == "managed":
        return _Hashed(MANAGED_IDS)
    if owner.encoding == "identity":
        return _Identity(owner.buckets, owner.offset or 0 if offset is None else offset, name)
    return VocabularyIndex(statistics.of(name, Vocabulary), owner.buckets)


class _Hashed:
    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def __call__(self, values: pa.Array, where: str) -> Ints:
        return hashed_rows(values, self._buckets)


class _Identity:
    def __init__(self, buckets: int, offset: int, table: str) -> None:
        self._buckets, self._offset, self._table = buckets, offset, table

    def __call__(self, values: pa.Array, where: str) -> Ints:
        values = plain(values)
        ids, last = stored(values), self._offset + self._buckets - 1
        if len(ids) and (ids.min() < self._offset or ids.max() > last):  # or a null's place holds anything
            bad = valid(values) & ((ids < self._offset) | (ids > last))
            if bad.any():
                self._refuse(int(ids[bad][0]), last, where)
        if self._offset:  # of the ids as they are, so that no narrow type overflows; where null the buffer may hold anything
            ids = ids.astype(np.int64, copy=False) - self._offset
        rows = np.add(ids, 1, dtype=row_type(self._buckets), casting="unsafe")  # not in the ids' type, which may be too narrow
        return blank(rows, values)

    def _refuse(self, found: int, last: int, where: str) -> None:
        raise InputError(
            f"{where}: id {found} is outside {self._offset} .. {last} of table {self._table!r}; "
            "raise its `buckets`, or set `encoding: hash`"
        )


class _WithDefault:
    """Null becomes the row of a given id."""

    def __init__(self, encoding: Encoding, default: int | str, key: str) -> None:
        self._encoding, self._default, self._key = encoding, default, key

    def __call__(self, values: pa.Array, where: str) -> Ints:
        rows, there, default = self._encoding(values, where), known(values), self._row(values.type)
        return rows if there is None else np.where(there, rows, default).astype(rows.dtype, copy=False)

    def _row(self, kind: pa.DataType) -> int:
        where = f"features: {self._key}: default {self._default!r}"
        if not fits(self._default, kind):
            raise InputError(f"{where} is of another type than its column, {kind}; write it as the column has it")
        return int(self._encoding(pa.array([self._default]), where)[0])
