"""The files of a split: what the paths of a config stand for, and what their footers say."""

from __future__ import annotations

import difflib
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from recsys.errors import InputError


@dataclass(frozen=True)
class Need:
    """A column that a job reads.

    kind: `id` (integer or string), `integer` or `number`; lists: whether a row holds a list of them; purpose: who asks, for messages.
    """

    column: str
    kind: str
    lists: bool
    purpose: str


@dataclass(frozen=True)
class SourceFile:
    """A parquet file: the rows of each row group and, of its needed leaf columns, the strings (they are read as dictionaries).

    footer: digest of the footer, by which the file is known again. modified: when it was written, in nanoseconds, where the store knows.
    """

    name: str
    path: str
    filesystem: fs.FileSystem
    groups: tuple[int, ...]
    strings: tuple[str, ...]
    footer: str
    modified: int | None

    def open(self) -> pq.ParquetFile:
        """The file, ready to decode; pages that were written with a checksum are checked by it.

        Raises InputError when it is not the file whose footer was read.
        """
        file = pq.ParquetFile(
            self.filesystem.open_input_file(self.path),
            read_dictionary=list(self.strings),
            pre_buffer=True,
            page_checksum_verification=True,
        )
        if footer_digest(file.metadata) != self.footer or _modified(self.filesystem, self.path) != self.modified:
            file.close(force=True)
            raise InputError(f"{self.name}: was replaced while the job ran; put the old file back, or start the job again without --resume")
        return file


@dataclass(frozen=True)
class Source:
    """The files of a split, in the order of their paths."""

    files: tuple[SourceFile, ...]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(sum(file.groups) for file in self.files)


def open_source(paths: Sequence[str], needs: Sequence[Need], threads: int = 4) -> Source:
    """The parquet files behind files, globs, folders and URIs, after a look at every footer.

    A file that several paths lead to is taken once. Raises InputError when a path leads to nothing, a file is not whole parquet, lacks a
    needed column or has it in an unfit type, or when there is no row at all.
    """
    found = {(filesystem.type_name, name): (filesystem, path, name) for given in paths for filesystem, path, name in _expand(given)}
    with ThreadPoolExecutor(max(threads, 4), thread_name_prefix="footers") as pool:
        files = tuple(pool.map(partial(_footer, needs=needs), [found[key] for key in sorted(found)]))
    source = Source(files)
    if not source.rows:
        raise InputError(f"{', '.join(paths)}: no rows in {len(files)} parquet file(s); give a path with rows")
    return source


Found = tuple[fs.FileSystem, str, str]


def _expand(given: str) -> list[Found]:
    """(file system, path, name for messages) of the files that a path of the config stands for."""
    filesystem, path, prefix = _resolve(given)
    try:
        files = _matches(filesystem, path)
    except OSError as error:
        raise InputError(f"{given}: cannot be listed ({_first_line(error)}); check the address and the permissions") from error
    if files is None:
        raise InputError(f"{given}: no such file or folder; check the path")
    if not files:
        raise InputError(f"{given}: no parquet file there (files that begin with _ or . don't count); check the path")
    return [(filesystem, file, prefix + file) for file in sorted(files)]


def _resolve(given: str) -> tuple[fs.FileSystem, str, str]:
    """The file system of a path, the path in it, and what goes before it in messages. A `?` in a URI begins its options."""
    if "://" not in given:
        return fs.LocalFileSystem(), str(Path(given).expanduser().absolute()), ""
    address, mark, options = given.partition("?")
    wild = re.search(r"[*\[]", address)
    folder = address[: wild.start()].rpartition("/")[0] if wild else address
    try:
        filesystem, path = fs.FileSystem.from_uri(folder + mark + options)
    except (ValueError, OSError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(
            f"{given}: not a URI that pyarrow reads ({_first_line(error)}); use a path, file://, s3://, gs:// or hdfs://"
        ) from error
    return filesystem, path + address[len(folder) :], "" if filesystem.type_name == "local" else given.split("://")[0] + "://"


def _matches(filesystem: fs.FileSystem, path: str) -> list[str] | None:
    """Files at a path, in a folder or of a glob; None where there is nothing."""
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        return [path]
    if info.type == fs.FileType.Directory:
        return [file for file in _files_under(filesystem, path) if file.endswith(".parquet") and not _hidden(file, path)]
    folder = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
    if len(folder) >= len(path.rstrip("/")) or not re.search(r"[*?\[]", path):
        return None
    pattern = _pattern(path)
    return [file for file in _files_under(filesystem, folder) if pattern.fullmatch(file) and not _hidden(file, folder)]


def _files_under(filesystem: fs.FileSystem, folder: str) -> list[str]:
    selector = fs.FileSelector(folder, recursive=True, allow_not_found=True)
    return [info.path for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]


def _hidden(file: str, folder: str) -> bool:
    return any(part.startswith(("_", ".")) for part in file[len(folder) :].split("/"))


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob in which `*` stays inside a folder and `**/` stands for any folders."""
    parts = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return re.compile("".join(parts.get(token) or (token if token.startswith("[") else re.escape(token)) for token in tokens))


def _footer(found: Found, needs: Sequence[Need]) -> SourceFile:
    filesystem, path, name = found
    try:
        with pq.ParquetFile(filesystem.open_input_file(path)) as file:
            schema, metadata, modified = file.schema_arrow, file.metadata, _modified(filesystem, path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{name}: not a whole parquet file ({_first_line(error)}); write it again or leave it out") from error
    for need in needs:
        _check(need, schema, name)
    return SourceFile(
        name=name,
        path=path,
        filesystem=filesystem,
        groups=tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)),
        strings=tuple(_string_leaves(metadata.schema, {need.column for need in needs})),
        footer=footer_digest(metadata),
        modified=modified,
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
        near = difflib.get_close_matches(need.column, schema.names, 1, 0)
        raise InputError(f"{name}: no column {need.column!r} for {need.purpose}" + (f"; the nearest name is {near[0]!r}" if near else ""))
    kind = schema.field(need.column).type
    element = _element(kind)
    if (element is not None) != need.lists or not _fits(need.kind, kind if element is None else element):
        wanted = {"id": "integers or strings", "integer": "integers", "number": "numbers"}[need.kind]
        shape = f"lists of {wanted}" if need.lists else wanted
        raise InputError(f"{name}: column {need.column!r} is {kind}, but {need.purpose} takes {shape}; write it so, or name another column")


def _element(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements; None for another type."""
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return kind.value_type if lists else None


def _fits(wanted: str, kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    integer = pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if wanted == "number":
        return integer or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    text = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return integer or (wanted == "id" and any(test(kind) for test in text))


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
