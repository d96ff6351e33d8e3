from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import write_numbered

from recsys.data.source import Need, Source, open_source
from recsys.errors import InputError

ROW = Need("row", "id", False, "the feature 'row'")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Nested folders with three files, and some that don't count."""
    write_numbered(tmp_path / "logs" / "day=1", [5, 6], group=4)
    write_numbered(tmp_path / "logs" / "day=2" / "hour=3", [7], group=4)
    for hidden in ("_tmp", ".cache"):
        write_numbered(tmp_path / "logs" / hidden, [100], group=100)
    write_numbered(tmp_path / "staging", [100], group=100)
    (tmp_path / "staging" / "part-000.parquet").rename(tmp_path / "logs" / "_part.parquet")
    (tmp_path / "logs" / "_SUCCESS").touch()
    (tmp_path / "logs" / "notes.txt").write_text("no parquet")
    return tmp_path / "logs"


def sizes(source: Source) -> list[tuple[str, tuple[int, ...]]]:
    return [(Path(file.name).name, file.groups) for file in source.files]


def test_folders_globs_files_and_uris(logs: Path) -> None:
    everything = [("part-000.parquet", (4, 1)), ("part-001.parquet", (4, 2)), ("part-000.parquet", (4, 3))]
    for paths in (
        [str(logs)],
        [f"{logs}/"],
        [logs.as_uri()],
        [f"{logs}/**/*.parquet"],
        [f"{logs}/**/part-00?.parquet"],
        [f"{logs.as_uri()}/**/part-00[01].parquet"],
        [f"{logs}/day=2", f"{logs}/day=1/*"],
        [str(logs), f"{logs}/day=1/part-001.parquet", (logs / "day=1").as_uri()],
    ):
        source = open_source(paths, [ROW])
        assert sizes(source) == everything, paths
        assert source.rows == 18
    assert sizes(open_source([f"{logs}/*/*.parquet"], [ROW])) == everything[:2]


def test_a_path_may_be_relative(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(logs)
    assert open_source(["day=1/*.parquet"], [ROW]).rows == 11


def test_a_folder_named_like_a_glob_is_itself(tmp_path: Path) -> None:
    assert open_source([str(write_numbered(tmp_path / "a[1]", [3], group=3))], [ROW]).rows == 3


def test_an_empty_file_beside_others_is_no_error(tmp_path: Path) -> None:
    assert open_source([str(write_numbered(tmp_path, [0, 3], group=3))], [ROW]).rows == 3


def _missing(folder: Path) -> str:
    return str(folder / "absent.parquet")


def _missing_parent_of_a_glob(folder: Path) -> str:
    return str(folder / "absent" / "*.parquet")


def _no_parquet(folder: Path) -> str:
    (folder / "notes.txt").write_text("-")
    return str(folder)


def _unknown_scheme(folder: Path) -> str:
    return "nowhere://bucket/x"


def _truncated(folder: Path) -> str:
    file = write_numbered(folder, [50], group=50) / "part-000.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    return str(file)


def _not_parquet(folder: Path) -> str:
    (folder / "part-000.parquet").write_text("row,click\n1,0\n")
    return str(folder)


def _no_rows(folder: Path) -> str:
    return str(write_numbered(folder, [0, 0], group=1))


def _misspelt(folder: Path) -> str:
    pq.write_table(pa.table({"rows": [1], "other": [2]}), folder / "part-000.parquet")
    return str(folder)


def _lists(folder: Path) -> str:
    pq.write_table(pa.table({"row": [[1]]}), folder / "part-000.parquet")
    return str(folder)


def _fractions(folder: Path) -> str:
    pq.write_table(pa.table({"row": [1.5]}), folder / "part-000.parquet")
    return str(folder)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, ["absent.parquet", "no such file"]),
        (_missing_parent_of_a_glob, ["absent/*.parquet", "no parquet file"]),
        (_no_parquet, ["no parquet file"]),
        (_unknown_scheme, ["nowhere://bucket/x", "not a URI"]),
        (_truncated, ["part-000.parquet", "not a whole parquet file"]),
        (_not_parquet, ["part-000.parquet", "not a whole parquet file"]),
        (_no_rows, ["no rows in 2 parquet file(s)"]),
        (_misspelt, ["part-000.parquet", "no column 'row' for the feature 'row'", "nearest name is 'rows'"]),
        (_lists, ["part-000.parquet", "'row' is list<", "takes integers or strings"]),
        (_fractions, ["part-000.parquet", "'row' is double", "takes integers or strings"]),
    ],
)
def test_bad_input_is_named_in_one_line(tmp_path: Path, make: Callable[[Path], str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        open_source([make(tmp_path)], [ROW])
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "need", "fits"),
    [
        (pa.string(), Need("x", "id", False, "f"), True),
        (pa.string(), Need("x", "integer", False, "f"), False),
        (pa.string(), Need("x", "number", False, "f"), False),
        (pa.dictionary(pa.int32(), pa.string()), Need("x", "id", False, "f"), True),
        (pa.bool_(), Need("x", "number", False, "f"), True),
        (pa.decimal128(9, 2), Need("x", "number", False, "f"), True),
        (pa.timestamp("ms"), Need("x", "id", False, "f"), False),
        (pa.list_(pa.int64()), Need("x", "id", True, "f"), True),
        (pa.list_(pa.int64()), Need("x", "number", False, "f"), False),
        (pa.list_(pa.float32()), Need("x", "id", True, "f"), False),
        (pa.list_(pa.list_(pa.int64())), Need("x", "id", True, "f"), False),
        (pa.list_(pa.int64(), 2), Need("x", "integer", True, "f"), True),
        (pa.int64(), Need("x", "id", True, "f"), False),
    ],
)
def test_types_fit_their_use_or_are_refused(tmp_path: Path, kind: pa.DataType, need: Need, fits: bool) -> None:
    pq.write_table(pa.table({"x": pa.nulls(1, kind)}), tmp_path / "x.parquet")
    if fits:
        assert open_source([str(tmp_path)], [need]).rows == 1
    else:
        with pytest.raises(InputError, match="column 'x' is"):
            open_source([str(tmp_path)], [need])
