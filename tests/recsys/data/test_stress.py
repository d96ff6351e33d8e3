"""Logs with noise and contradictions, against the log that they were derived from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from recsys.data.schema import Schema
from recsys.data.stress import Stress, derive
from recsys.data.synthetic import Spec, generate
from recsys.errors import InputError


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stress") / "log"
    generate(Spec(rows=6_000, users=200, items=100, days=10, seed=3), folder)
    return folder


def rows(log: Path, split: str) -> pa.Table:
    return ds.dataset(log / f"split={split}", partitioning="hive").to_table()


def test_noise_and_opposites_are_what_was_asked_and_nothing_else_changes(log: Path, tmp_path: Path) -> None:
    derive(log, tmp_path / "hard", Stress({"click": 0.2}, {"no_click": "click"}, seed=1))
    for split in ("train", "valid", "test"):
        before, after = rows(log, split), rows(tmp_path / "hard", split)
        assert after.drop_columns(["click", "no_click"]).equals(before.drop_columns(["click"]))
        click, noisy = (table["click"].to_numpy() for table in (before, after))
        assert (after["no_click"].to_numpy() == 1 - click).all() and after["click"].type == before["click"].type
        turned = float(np.mean(click != noisy))
        if split == "test":
            assert turned == 0
        else:
            assert abs(turned - 0.2) < 4 * np.sqrt(0.2 * 0.8 / len(click))
    schema = Schema.load(tmp_path / "hard")
    assert "no_click" in schema.of_kind("label") and "20% of the rows of train and valid" in schema.description
    assert schema.splits["train"].rates["click"] == pytest.approx(np.mean(rows(tmp_path / "hard", "train")["click"].to_numpy()))


def test_the_seed_decides_which_rows(log: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        derive(log, tmp_path / name, Stress({"click": 0.2}, seed=seed))
    a, b, c = (rows(tmp_path / name, "train")["click"] for name in "abc")
    assert a.equals(b) and not a.equals(c)


@pytest.mark.parametrize(
    ("stress", "told"),
    [
        (Stress({"clik": 0.1}), "has no label 'clik'; did you mean 'click'"),
        (Stress({"click": 1.0}), "must be a share between 0 and 1"),
        (Stress(opposite={"age": "click"}), "has a column 'age' already"),
        (Stress({"dwell_seconds": 0.1}), "label 'dwell_seconds' is not 0 or 1 in every row"),
    ],
)
def test_what_cannot_be_is_refused(log: Path, tmp_path: Path, stress: Stress, told: str) -> None:
    with pytest.raises(InputError, match=told):
        derive(log, tmp_path / "hard", stress)
    assert not (tmp_path / "hard").exists()


def test_a_log_does_not_replace_itself(log: Path) -> None:
    with pytest.raises(InputError, match="is the log itself"):
        derive(log, log, Stress({"click": 0.1}))
