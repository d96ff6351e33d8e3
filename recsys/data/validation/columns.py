"""What is in each column: how much is missing, how many different values."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.validation.repeats import value_hashes
from recsys.data.validation.sketch import Distinct


@dataclass
class ColumnProfile:
    """One column: rows, rows without a value, the longest list, and the different values (of lists: elements)."""

    rows: int = 0
    missing: int = 0
    longest: int = 0
    distinct: Distinct = field(default_factory=Distinct)

    def add(self, values: pa.Array) -> None:
        """Take in the values of N rows."""
        self.rows += len(values)
        self.missing += values.null_count
        if pa.types.is_dictionary(values.type) and values.dictionary.null_count:
            self.missing += values.dictionary_decode().null_count - values.null_count
        kind = values.type
        if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            self.longest = max(self.longest, pc.max(pc.list_value_length(values)).as_py() or 0)
            values = values.flatten()
        if not pa.types.is_nested(values.type):
            present = (values.dictionary if pa.types.is_dictionary(values.type) else values.unique()).drop_null()
            self.distinct.add(value_hashes(present))

    def merge(self, other: ColumnProfile) -> None:
        """Take in what another has seen."""
        self.rows += other.rows
        self.missing += other.missing
        self.longest = max(self.longest, other.longest)
        self.distinct.merge(other.distinct)
