"""The parquet files that a path of the configuration stands for: a file, a folder, a glob, local or in a store, with a filter."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pyarrow import fs

from recsys.data.filters import Filter, partitions_of, split_where
from recsys.data.stores import StoreConfig, failure, first_line, resolve
from recsys.errors import InputError


@dataclass(frozen=True)
class Found:
    """A file, not opened yet; `name` is how messages call it."""

    filesystem: fs.FileSystem
    path: str
    name: str


def expand(given: str, store: StoreConfig) -> list[Found]:
    """The parquet files behind `PATH` or `PATH where FILTER`, in the order of their paths; folders that don't match are not looked into.

    Raises InputError when there is none or the filter asks for what the partitions don't have, JobError when a store doesn't answer.
    """
    try:
        address, keep = split_where(given)
        filesystem, path, prefix = _resolve(address, store)
        files = _matches(filesystem, path, keep)
        for file in files or []:
            _check_columns(keep, file)
        files = None if files is None else [file for file in files if keep.admits(partitions_of(file))]
    except ValueError as error:
        raise InputError(f"{given}: {error}") from None
    except OSError as error:
        raise failure(given, error) or InputError(
            f"{given}: cannot be listed ({first_line(error)}); check the address and the permissions"
        ) from error
    if files is None:
        raise InputError(f"{given}: no such file or folder; check the path")
    if not files:
        what = "no parquet file there has such partitions" if keep.comparisons else "no parquet file there"
        raise InputError(f"{given}: {what} (files that begin with _ or . don't count); check the path")
    return [Found(filesystem, file, prefix + file) for file in sorted(files)]


def files_beside(given: str, name: str, store: StoreConfig) -> list[Found]:
    """Files of a name in the folders that `PATH where FILTER` leads through, the nearest first; none where they can't be looked at."""
    try:
        filesystem, path, prefix = _resolve(split_where(given)[0], store)
        folders = ["/".join(path.split("/")[:depth]) for depth in range(path.count("/") + 1, 0, -1)]
        infos = filesystem.get_file_info([f"{folder}/{name}" for folder in folders if "*" not in folder])
    except (OSError, InputError):
        return []
    return [Found(filesystem, info.path, prefix + info.path) for info in infos if info.type == fs.FileType.File]


def _resolve(address: str, store: StoreConfig) -> tuple[fs.FileSystem, str, str]:
    """The file system of a path, the path in it, and what goes before it in messages. A `?` in a URI begins its options."""
    if "://" not in address:
        return resolve(address, store)
    place, mark, options = address.partition("?")
    wild = re.search(r"[*\[]", place)
    folder = place[: wild.start()].rpartition("/")[0] if wild else place
    filesystem, path, prefix = resolve(folder + mark + options, store)
    return filesystem, path + place[len(folder) :] if wild else path, prefix


def _matches(filesystem: fs.FileSystem, path: str, keep: Filter) -> list[str] | None:
    """Files at a path, in a folder or of a glob; None where there is nothing."""
    info = filesystem.get_file_info(path)
    if info.type == fs.FileType.File:
        return [path]
    if info.type == fs.FileType.Directory:
        return [file for file in _files_under(filesystem, path, keep) if file.endswith(".parquet") and not _hidden(file, path)]
    folder = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
    if len(folder) >= len(path.rstrip("/")) or not re.search(r"[*?\[]", path):
        return None
    pattern = _pattern(path)
    return [file for file in _files_under(filesystem, folder, keep) if pattern.fullmatch(file) and not _hidden(file, folder)]


def _files_under(filesystem: fs.FileSystem, folder: str, keep: Filter) -> Iterator[str]:
    """All files in a folder: in one go below the folders that the filter reads, folder by folder above, where it leaves some out."""
    whole = keep.columns <= partitions_of(folder).keys()
    infos = filesystem.get_file_info(fs.FileSelector(folder, recursive=whole, allow_not_found=True))
    for info in sorted(infos, key=lambda info: info.path):
        if info.type == fs.FileType.File:
            yield info.path
        elif info.type == fs.FileType.Directory and not whole and not _hidden(info.path, folder) and keep.admits(partitions_of(info.path)):
            yield from _files_under(filesystem, info.path, keep)


def _check_columns(keep: Filter, file: str) -> None:
    known = partitions_of(file)
    for column in sorted(keep.columns - known.keys()):
        near = difflib.get_close_matches(column, known, 1, 0)
        there = f"the nearest is {near[0]!r}" if near else "its path has no column=value folder"
        raise ValueError(f"{file} is not partitioned by {column!r}; {there}")


def _hidden(file: str, folder: str) -> bool:
    return any(part.startswith(("_", ".")) for part in file[len(folder) :].split("/"))


def _pattern(glob: str) -> re.Pattern[str]:
    """A glob in which `*` stays inside a folder and `**/` stands for any folders."""
    parts = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return re.compile("".join(parts.get(token) or (token if token.startswith("[") else re.escape(token)) for token in tokens))
