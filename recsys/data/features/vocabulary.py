"""Tables whose rows are the lines of a file."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import fs
from pydantic import BaseModel, ConfigDict

from recsys.data.arrow import is_text, stored
from recsys.data.hashing import Rows, Words, by_distinct, hash_integers, hash_strings, hash_values, row_type
from recsys.data.ragged import Ints
from recsys.data.source import Need
from recsys.errors import InputError


class Vocabulary(BaseModel):
    """The values of a vocabulary file, in its order: value i lies in table row 1 + i."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: list[str]


class VocabularyFile:
    """Takes a vocabulary into the statistics, so that the file isn't needed again."""

    def __init__(self, path: str, buckets: int) -> None:
        self._path, self._buckets = path, buckets
        self.needs: list[Need] = []

    def update(self, batch: pa.RecordBatch, where: str) -> None:
        """The log says nothing about it."""

    def merge(self, later: VocabularyFile) -> None:
        """Nor do other files of the log."""

    def result(self) -> Vocabulary:
        """The values. Raises InputError when the file can't be read or doesn't fit the table."""
        values = [line.removesuffix("\r") for line in _text(self._path).removesuffix("\n").split("\n")]
        if "" in values:
            raise InputError(f"{self._path}, line {values.index('') + 1}: is empty; a vocabulary has one value a line")
        value, times = Counter(values).most_common(1)[0]
        if times > 1:
            raise InputError(f"{self._path}: {value!r} stands there {times} times; a vocabulary has each value once")
        if len(values) > self._buckets:
            raise InputError(f"{self._path}: {len(values)} values for a table of {self._buckets} buckets; raise `buckets`")
        return Vocabulary(values=values)


def _text(path: str) -> str:
    try:
        filesystem, place = fs.FileSystem.from_uri(path) if "://" in path else (fs.LocalFileSystem(), path)
        with filesystem.open_input_stream(place) as file:
            return file.read().decode("utf-8")
    except (OSError, ValueError) as error:  # what pyarrow and the decoding raise
        raise InputError(f"{path}: not a readable vocabulary ({str(error).splitlines()[0]}); name a UTF-8 text file") from error


class VocabularyIndex:
    """The table rows of values by their place in a vocabulary; row 0 for null and for values that are not in it."""

    def __init__(self, vocabulary: Vocabulary, buckets: int) -> None:
        self._values, self._buckets = pa.array(vocabulary.values, pa.string()), buckets
        self._sorted: dict[bool, tuple[Words, NDArray[np.int64]]] = {}

    def __call__(self, values: pa.Array, where: str) -> Ints:
        return by_distinct(values, lambda distinct: self._rows(distinct, where))

    def _rows(self, distinct: pa.Array, where: str) -> Rows:
        """Found by hash. That of integers is one to one; strings are compared, too."""
        text = is_text(distinct.type)
        if text not in self._sorted:
            self._sorted[text] = _sort(self._values, text, where)
        hashes, lines = self._sorted[text]
        wanted = hash_values(distinct)
        at = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        found = hashes[at] == wanted
        if text:
            same = pc.equal(self._values.take(pa.array(lines[at])).cast(distinct.type), distinct)
            found &= stored(same.fill_null(False)).view(np.bool_)
        return np.where(found, lines[at] + 1, 0).astype(row_type(self._buckets))


def _sort(values: pa.Array, text: bool, where: str) -> tuple[Words, NDArray[np.int64]]:
    """The hashes of a vocabulary in rising order, and the line of each."""
    words = None if text else np.array([_integer(value, where) for value in values.to_pylist()], np.uint64)
    hashes = hash_strings(values) if words is None else hash_integers(words)
    order = np.argsort(hashes)
    return hashes[order], order


def _integer(value: str, where: str) -> int:
    try:
        return int(value) % 2**64
    except ValueError:
        raise InputError(f"{where}: holds integers, but its vocabulary has {value!r}; write integers there") from None
