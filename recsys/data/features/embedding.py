"""The tables that ids index, and who may share them."""

from __future__ import annotations

from typing import Self, TypeVar

from pydantic import Field, PositiveInt, model_validator

from recsys.data.features.feature import Tables, TableSpec
from recsys.errors import InputError
from recsys.section import Section


class Embedding(Section):
    """A table's place in the configuration: shared by name, or of its own."""

    table: str | None = Field(None, description="Table to share, by the name of the feature that owns it; its own when left out.")
    dimension: PositiveInt = Field(16, description="Width of an embedding.")

    @model_validator(mode="after")
    def _kernels_take_four_at_a_time(self) -> Self:
        if self.dimension % 4:
            raise ValueError(f"dimension {self.dimension} must be a multiple of 4, which the embedding kernels need")
        return self

    def own_table(self, key: str, buckets: int | None) -> list[TableSpec]:
        """The table of `buckets` rows and one more for missing values, unless another's is shared."""
        return [] if buckets is None else [TableSpec(key, buckets + 1, self.dimension, self)]


class Buckets(Embedding):
    """A table whose size is given."""

    buckets: PositiveInt | None = Field(None, description="Rows of the table (one more is added for missing values).")

    @model_validator(mode="after")
    def _a_table_has_one_size(self) -> Self:
        if (self.table is None) == (self.buckets is None):
            raise ValueError("give either `buckets` (a table of its own) or `table` (the feature whose table it shares)")
        return self


Owner = TypeVar("Owner", bound=Embedding)


def owner_of(table: str, tables: Tables, sort: type[Owner], key: str) -> Owner:
    """The section that owns a table. Raises InputError where `key` can't use it, because its rows stand for something else."""
    if table not in tables:
        raise InputError(f"features: {key} shares the table {table!r}, which no feature owns; tables are {', '.join(tables)}")
    owner = tables[table].owner
    if not isinstance(owner, sort):
        raise InputError(f"features: {key} shares the table {table!r}, whose rows stand for something else; give it a table of its own")
    return owner
