"""The files of a split: what the paths of a config stand for, and what their footers say."""

from __future__ import annotations

import difflib
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from recsys.data.filters import partitions_of
from recsys.data.guard import Damage, Guard, Kind, guarded_map
from recsys.data.listing import Found, expand
from recsys.data.stores import PATIENCE, StoreConfig, failure, first_line
from recsys.errors import InputError, JobError

FOOTER_THREADS = 8  # they wait for a disk or a store, not for a core


@dataclass(frozen=True)
class Need:
    """A column that a job reads.

    kind: `id` (integer or string), `integer`, `number` or `any`; lists: whether a row holds a list of them; purpose: who asks.
    """

    column: str
    kind: str
    lists: bool
    purpose: str


@dataclass(frozen=True)
class SourceFile:
    """A parquet file: the rows of each row group and, of its needed leaf columns, the strings (they are read as dictionaries).

    footer: digest of the footer, by which the file is known again. modified: when it was written, in nanoseconds, where the store knows.
    text_columns: the needed columns that hold strings.
    """

    name: str
    path: str
    filesystem: fs.FileSystem
    groups: tuple[int, ...]
    strings: tuple[str, ...]
    footer: str
    modified: int | None
    text_columns: frozenset[str]

    def open(self) -> pq.ParquetFile:
        """The file, ready to decode; pages that were written with a checksum are checked by it.

        Raises Damage when it is not the file whose footer was read.
        """
        file = pq.ParquetFile(
            self.filesystem.open_input_file(self.path),
            read_dictionary=list(self.strings),
            pre_buffer=True,
            page_checksum_verification=True,
        )
        if footer_digest(file.metadata) != self.footer or _modified(self.filesystem, self.path) != self.modified:
            file.close(force=True)
            told = f"{self.name}: was replaced while the job ran; put the old file back, or start the job again without --resume"
            raise Damage("file", told)
        return file


@dataclass(frozen=True)
class LostFile:
    """A file that is left out. rows: None where its footer can't be read."""

    name: str
    kind: Kind
    rows: int | None


@dataclass(frozen=True)
class Source:
    """The files of a split, in the order of their paths, and those that were left out."""

    files: tuple[SourceFile, ...]
    lost: tuple[LostFile, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(sum(file.groups) for file in self.files)

    @property
    def groups(self) -> list[tuple[int, int, int]]:
        """(file, row group, rows) of each row group."""
        return [(place, group, rows) for place, file in enumerate(self.files) for group, rows in enumerate(file.groups)]

    @property
    def lost_rows(self) -> int:
        """Rows that are left out with their files; a file whose footer can't be read is taken to have as many as the others on average."""
        average = -(-self.rows // max(1, len(self.files)))
        return sum(average if file.rows is None else file.rows for file in self.lost)


def open_source(
    paths: Sequence[str], needs: Sequence[Need], threads: int = 4, store: StoreConfig = PATIENCE, guard: Guard | None = None
) -> Source:
    """The parquet files behind files, globs, folders and URIs, each with its filter (see `filters`), after a look at every footer.

    A file that several paths lead to is taken once. Raises InputError when a path leads to nothing, a file is not whole parquet, lacks a
    needed column or has it in an unfit type, or when there is no row at all; with a guard that skips such files they are left out.
    Raises JobError when a remote store doesn't answer or a read hangs.
    """
    guard = guard or Guard()
    found = {(item.filesystem.type_name, item.name): item for given in paths for item in expand(given, store)}
    look = partial(_look, needs=needs, guard=guard)
    looks = list(guarded_map(guard, max(threads, FOOTER_THREADS), "footers", look, [found[key] for key in sorted(found)]))
    first = next((file for file in looks if isinstance(file, SourceFile)), None)
    looks = [_same_types(file, first, needs, guard) for file in looks] if first else looks
    source = Source(
        files=tuple(file for file in looks if isinstance(file, SourceFile)),
        lost=tuple(file for file in looks if isinstance(file, LostFile)),
    )
    if not source.rows:
        raise InputError(f"{', '.join(paths)}: no rows in {len(looks)} parquet file(s); give a path with rows")
    return source


def _look(found: Found, needs: Sequence[Need], guard: Guard) -> SourceFile | LostFile:
    """The file, or what is lost with it if it may be skipped."""
    try:
        with guard.reading(f"{found.name}, footer"):
            return _footer(found, needs)
    except Damage as damage:
        return LostFile(found.name, guard.skip(damage), damage.rows)


def _same_types(look: SourceFile | LostFile, first: SourceFile, needs: Sequence[Need], guard: Guard) -> SourceFile | LostFile:
    """The file, unless its ids are strings where those of the first file are integers: equal ids would become different rows of a table."""
    if isinstance(look, LostFile):
        return look
    for column in sorted({need.column for need in needs if need.kind == "id"}):
        kinds = ["strings" if column in file.text_columns else "integers" for file in (look, first)]
        if kinds[0] != kinds[1]:
            told = f"{look.name}: column {column!r} holds {kinds[0]}, but {kinds[1]} in {first.name}; write it so in all files"
            return LostFile(look.name, guard.skip(Damage("column", told)), sum(look.groups))
    return look


def _footer(found: Found, needs: Sequence[Need]) -> SourceFile:
    name = found.name
    try:
        with pq.ParquetFile(found.filesystem.open_input_file(found.path)) as file:
            schema, metadata, modified = file.schema_arrow, file.metadata, _modified(found.filesystem, found.path)
    except (pa.ArrowInvalid, OSError) as error:
        refused = failure(name, error)
        if isinstance(refused, JobError):
            raise refused from error
        told = refused or f"{name}: not a whole parquet file ({first_line(error)}); write it again or leave it out"
        raise Damage("file", str(told)) from error
    try:
        for need in needs:
            _check(need, schema, name)
    except InputError as error:
        raise Damage("column", str(error), metadata.num_rows) from None
    strings = tuple(_string_leaves(metadata.schema, {need.column for need in needs}))
    return SourceFile(
        name=name,
        path=found.path,
        filesystem=found.filesystem,
        groups=tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)),
        strings=strings,
        footer=footer_digest(metadata),
        modified=modified,
        text_columns=frozenset(need.column for need in needs if any(leaf.split(".")[0] == need.column for leaf in strings)),
    )


def _modified(filesystem: fs.FileSystem, path: str) -> int | None:
    return filesystem.get_file_info(path).mtime_ns


def footer_digest(metadata: pq.FileMetaData) -> str:
    """A digest of a footer: of the schema and of every column chunk's place, sizes and statistics."""
    sink = io.BytesIO()
    metadata.write_metadata_file(sink)
    return hashlib.blake2b(sink.getvalue(), digest_size=8).hexdigest()


def _string_leaves(schema: pq.ParquetSchema, columns: set[str]) -> Iterable[str]:
    for leaf in map(schema.column, range(len(schema))):
        text = leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in ("STRING", "NONE")
        if text and any(leaf.path == column or leaf.path.startswith(column + ".") for column in columns):
            yield leaf.path


def _check(need: Need, schema: pa.Schema, name: str) -> None:
    if need.column not in schema.names:
        if need.column in partitions_of(name):
            raise InputError(
                f"{name}: {need.column!r} is a partition, which can only filter, but {need.purpose} reads it; write it as a column"
            )
        near = difflib.get_close_matches(need.column, schema.names, 1, 0)
        raise InputError(f"{name}: no column {need.column!r} for {need.purpose}" + (f"; the nearest name is {near[0]!r}" if near else ""))
    kind = schema.field(need.column).type
    element = _element(kind)
    if (element is not None) != need.lists or not _fits(need.kind, kind if element is None else element):
        wanted = {"any": "single values", "id": "integers or strings", "integer": "integers", "number": "numbers"}[need.kind]
        shape = f"lists of {wanted}" if need.lists else wanted
        raise InputError(f"{name}: column {need.column!r} is {kind}, but {need.purpose} takes {shape}; write it so, or name another column")


def _element(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements; None for another type."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return kind.value_type if lists else None


def _fits(wanted: str, kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if wanted == "any":
        return True
    integer = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if wanted == "number":
        return integer or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return integer or (wanted == "id" and any(test(kind) for test in text))
