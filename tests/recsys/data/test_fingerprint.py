"""What a checkpoint remembers of the order of the rows."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from reading import data_config, numbered, numbered_reader, write_numbered

from recsys.data.fingerprint import Fingerprint, difference, digest


def of(folder: Path, **options: object) -> Fingerprint:
    found = numbered_reader(folder, **options).fingerprint  # type: ignore[arg-type]
    assert json.loads(json.dumps(found)) == found
    return found


def test_the_same_files_are_known_again_elsewhere_and_on_other_ranks(tmp_path: Path) -> None:
    write_numbered(tmp_path / "a", [9, 0, 4], group=3)
    before = of(tmp_path / "a", seed=3)
    (tmp_path / "a").rename(tmp_path / "b")
    now = of(tmp_path / "b", seed=3, rank=1, world_size=4)
    assert (difference(before, now), digest(before)) == (None, digest(now))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 4}, "run.seed was 0 and is 4"),
        ({"batch_size": 16}, "data.batch_size was 8 and is 16"),
        ({"config": data_config(window=20, streams=2)}, "data.streams was 4 and is 2, data.window was 16 and is 20"),
    ],
)
def test_what_changed_in_the_plan_is_named(tmp_path: Path, options: dict[str, object], told: str) -> None:
    write_numbered(tmp_path, [9, 4], group=3)
    assert difference(of(tmp_path), of(tmp_path, **options)) == told
    assert digest(of(tmp_path)) != digest(of(tmp_path, **options))


def test_changed_files_are_named(tmp_path: Path) -> None:
    write_numbered(tmp_path, [9, 4, 5], group=3)
    before = of(tmp_path)
    pq.write_table(numbered(9, first=5), tmp_path / "part-000.parquet", row_group_size=3)
    assert difference(before, of(tmp_path)) == "part-000.parquet is replaced"
    (tmp_path / "part-001.parquet").unlink()
    (tmp_path / "part-002.parquet").rename(tmp_path / "part-003.parquet")
    told = "part-001.parquet and 1 more files are gone, part-003.parquet is new, part-000.parquet is replaced"
    assert difference(before, of(tmp_path)) == told


def test_other_row_groups_are_another_file(tmp_path: Path) -> None:
    write_numbered(tmp_path, [12], group=3)
    before = of(tmp_path)
    write_numbered(tmp_path, [12], group=4)
    assert difference(before, of(tmp_path)) == "part-000.parquet is replaced"
