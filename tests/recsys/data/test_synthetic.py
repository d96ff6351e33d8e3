"""Synthetic logs: reproducible, true to the probabilities they state, and with histories that know no future."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from recsys.data.best import BinnedAuc
from recsys.data.memory import Memory
from recsys.data.schema import Schema
from recsys.data.synthetic import COLUMNS, FIRST_DAY, HISTORY, Spec, generate, tables
from recsys.data.synthetic_world import DWELL_SPREAD, Truth, expected_log1p_dwell
from recsys.errors import InputError

SMALL = Spec(rows=3_000, users=40, items=60, seed=3)


@pytest.fixture(scope="module")
def log() -> pa.Table:
    return pa.concat_tables(tables(Spec(rows=150_000, seed=1)))


@settings(max_examples=8, deadline=None)
@given(chunk=st.integers(1, 3_500))
def test_rows_do_not_depend_on_the_chunks(chunk: int) -> None:
    chunk = max(chunk, 50)
    assert pa.concat_tables(tables(SMALL, chunk)).combine_chunks() == pa.concat_tables(tables(SMALL, 3_000)).combine_chunks()


def test_the_seed_decides() -> None:
    first, again, other = (next(tables(Spec(rows=500, seed=seed))) for seed in (0, 0, 1))
    assert first == again
    assert first["item_id"] != other["item_id"]


def test_histories_hold_the_users_last_earlier_rows() -> None:
    past = defaultdict(list)
    last_time = -1
    for row in pa.concat_tables(tables(SMALL, 700)).to_pylist():
        seen = past[row["user_id"]][-HISTORY:]
        assert row["history_item"] == [item for item, _, _ in seen]
        assert row["history_author"] == [author for _, author, _ in seen]
        assert row["history_click"] == [click for _, _, click in seen]
        assert row["time_ms"] > last_time
        last_time = row["time_ms"]
        past[row["user_id"]].append((row["item_id"], row["author_id"], row["click"]))
    assert max(map(len, past.values())) > 2 * HISTORY


@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 1)), min_size=1, max_size=9), max_size=4))
def test_memory_recalls_like_lists_do(chunks: list[list[tuple[int, int, int]]]) -> None:
    memory, past = Memory(users=3, length=4), defaultdict(list)
    for chunk in chunks:
        user, item, click = (np.array(column) for column in zip(*chunk, strict=True))
        sizes, items, clicks = memory.recall(user.astype(np.int32), item.astype(np.int32), click.astype(np.int8))
        expected = []
        for row in chunk:
            expected.append(past[row[0]][-4:])
            past[row[0]].append(row[1:])
        assert sizes.tolist() == [len(part) for part in expected]
        assert list(zip(items.tolist(), clicks.tolist(), strict=True)) == [event for part in expected for event in part]


@pytest.mark.parametrize(
    ("outcome", "truth", "space"),
    [("click", "p_click", None), ("conversion", "p_conversion", "click"), ("dwell_seconds", "p_dwell_positive", None)],
)
def test_outcomes_follow_their_probabilities(log: pa.Table, outcome: str, truth: str, space: str | None) -> None:
    rows = log[space].to_numpy() == 1 if space else np.ones(len(log), bool)
    happened, probability = log[outcome].to_numpy()[rows] > 0, log[truth].to_numpy()[rows]
    for part in np.array_split(np.argsort(probability), 20):
        deviation = np.sqrt((probability[part] * (1 - probability[part])).sum())
        assert abs((happened[part] - probability[part]).sum()) < 4.5 * deviation


def test_conversions_follow_clicks(log: pa.Table) -> None:
    assert not (log["conversion"].to_numpy() > log["click"].to_numpy()).any()


def test_dwell_has_zeros_and_a_heavy_tail_and_the_stated_mean(log: pa.Table) -> None:
    dwell, expected = log["dwell_seconds"].to_numpy(), log["expected_log_dwell"].to_numpy()
    assert 0.2 < (dwell == 0).mean() < 0.8
    assert np.quantile(dwell[dwell > 0], 0.999) > 10 * np.median(dwell[dwell > 0])
    for part in np.array_split(np.argsort(expected), 20):
        error = np.log1p(dwell[part]) - expected[part]
        assert abs(error.mean()) < 4.5 * error.std() / np.sqrt(len(part))


@given(
    *[st.floats(0.01, 0.99)] * 3,
    *[st.floats(-2, 6)] * 2,
)
@settings(max_examples=20, deadline=None)
def test_expected_log_dwell_is_the_integral(click: float, stays: float, stays_clicked: float, mean: float, mean_clicked: float) -> None:
    def integral(centre: float) -> float:
        return quad(lambda z: norm.pdf(z) * np.log1p(np.exp(centre + DWELL_SPREAD * z)), -9, 9)[0]

    one = np.float32(0.5).reshape(1)
    truth = Truth(one * 2 * np.float32(click), one, np.float32([[stays, stays_clicked]]), np.float32([[mean, mean_clicked]]))
    expected = (1 - click) * stays * integral(mean) + click * stays_clicked * integral(mean_clicked)
    assert expected_log1p_dwell(truth)[0] == pytest.approx(expected, abs=2e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 500))
def test_binned_auc_is_the_auc(seed: int, rows: int) -> None:
    random = np.random.default_rng(seed)
    probability = random.random(rows).astype(np.float32)
    label = (random.random(rows) < probability).astype(np.int8)
    label[:2] = 0, 1
    meter = BinnedAuc()
    for part in np.array_split(np.arange(rows), 3):
        meter.add(probability[part], label[part])
    assert meter.value() == pytest.approx(roc_auc_score(label, probability), abs=1e-3)


def test_the_best_metrics_are_those_of_the_probabilities(tmp_path: Path) -> None:
    schema = generate(Spec(rows=100_000, users=3_000, items=1_000), tmp_path / "log")
    rows = ds.dataset(tmp_path / "log" / "split=train").to_table()
    clicked = rows.filter(ds.field("click") == 1)
    best = schema.splits["train"].best
    assert best["ctr/auc"] == pytest.approx(roc_auc_score(rows["click"], rows["p_click"]), abs=1e-5)
    assert best["cvr/auc"] == pytest.approx(roc_auc_score(clicked["conversion"], clicked["p_conversion"]), abs=1e-4)
    error = np.log1p(rows["dwell_seconds"].to_numpy()) - rows["expected_log_dwell"].to_numpy()
    assert best["dwell/rmse_log1p"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert 0.75 < best["ctr/auc"] < 0.85
    assert 0.75 < best["cvr/auc"] < 0.85


def test_days_are_split_in_order(tmp_path: Path) -> None:
    schema = generate(Spec(rows=2_000, days=10), tmp_path / "log")
    days = sorted((path.name, path.parent.name) for path in (tmp_path / "log").glob("split=*/date=*"))
    assert [split for _, split in days] == ["split=train"] * 8 + ["split=valid", "split=test"]
    assert days[0][0] == f"date={FIRST_DAY}"
    assert [schema.splits[name].rows for name in ("train", "valid", "test")] == [1_600, 200, 200]
    for part in ds.dataset(tmp_path / "log", partitioning="hive").to_table(columns=["time_ms", "date"]).to_pylist():
        assert str(np.datetime64(part["time_ms"], "ms"))[:10] == part["date"]
    assert [column.name for column in Schema.load(tmp_path / "log").columns] == list(COLUMNS)


@given(st.integers(3, 60))
def test_every_split_has_a_day(days: int) -> None:
    splits = [Spec(days=days).split_of(day) for day in range(days)]
    assert splits == sorted(splits, key=["train", "valid", "test"].index)
    assert set(splits) == {"train", "valid", "test"}


def test_popularity_nulls_and_position_bias(log: pa.Table) -> None:
    counts = np.sort(np.bincount(log["item_id"].to_numpy(), minlength=5_000))[::-1]
    assert counts[:50].sum() > 10 * 50 * counts.mean()
    assert log["device"].null_count / len(log) == pytest.approx(0.03, abs=0.005)
    assert 0.05 < log["age"].null_count / len(log) < 0.15
    by_position = [log.filter(pa.array(log["position"].to_numpy() == place))["p_click"].to_numpy().mean() for place in range(10)]
    assert by_position == sorted(by_position, reverse=True)


@pytest.mark.parametrize(
    ("wrong", "what"),
    [({"rows": 0}, "rows"), ({"users": 0}, "users"), ({"days": 2}, "days"), ({"seed": -1}, "seed"), ({"rows": 10**9}, "12 days")],
)
def test_impossible_wishes_are_refused(wrong: dict[str, int], what: str) -> None:
    with pytest.raises(InputError, match=what):
        Spec(**wrong)
