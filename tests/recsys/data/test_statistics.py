from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import features
from sklearn.preprocessing import StandardScaler

from recsys.data.features.bucket import Quantiles
from recsys.data.features.number import Moments, moments_of
from recsys.data.features.vocabulary import Vocabulary
from recsys.data.statistics import Statistics, fit_statistics
from recsys.data.transforms import Transforms
from recsys.errors import InputError

NUMBERS = features(
    {"kind": "number", "name": "age"},
    {"kind": "number", "name": "spent", "column": "paid", "log1p": True},
    {"kind": "number", "name": "none"},
).features


def write(folder: Path, ages: list[float | None], paid: np.ndarray, cuts: int, group: int) -> Path:
    table = pa.table({"age": pa.array(ages, pa.float64()), "paid": paid, "none": pa.nulls(len(ages), pa.float32())})
    step = -(-len(ages) // cuts)
    folder.mkdir(exist_ok=True)
    for number in range(cuts):
        pq.write_table(table[number * step : (number + 1) * step], folder / f"{number}.parquet", row_group_size=group)
    return folder


@settings(max_examples=30, deadline=None)
@given(ages=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=1, max_size=40), cuts=st.integers(1, 4), group=st.integers(1, 9))
def test_moments_are_those_of_the_whole(tmp_path_factory: pytest.TempPathFactory, ages: list[float | None], cuts: int, group: int) -> None:
    paid = np.random.default_rng(len(ages)).exponential(100, len(ages))
    folder = write(tmp_path_factory.mktemp("log"), ages, paid, cuts, group)
    fitted = [fit_statistics([str(folder)], NUMBERS, threads) for threads in (1, 3)]
    assert fitted[0] == fitted[1]
    numbers, known = {name: fitted[0].of(name, Moments) for name in fitted[0].features}, np.array([age for age in ages if age is not None])
    assert numbers["age"].count == len(known)
    if len(known):
        assert numbers["age"].mean == pytest.approx(known.mean(), rel=1e-12, abs=1e-9)
        assert numbers["age"].deviation == pytest.approx(known.std(), rel=1e-12, abs=1e-9)
    scaler = StandardScaler().fit(np.log1p(paid)[:, None])
    assert numbers["spent"].mean == pytest.approx(scaler.mean_[0], rel=1e-12)
    assert numbers["spent"].deviation == pytest.approx(np.sqrt(scaler.var_[0]), rel=1e-12, abs=1e-12)
    assert numbers["none"] == Moments(count=0, mean=0, deviation=0, log1p=False)


def test_a_large_mean_does_not_hide_a_small_deviation(tmp_path: Path) -> None:
    ages = list(1e9 + np.random.default_rng(0).normal(size=5000))
    fitted = fit_statistics([str(write(tmp_path, ages, np.zeros(5000), 3, 100))], NUMBERS).of("age", Moments)
    assert fitted.mean == pytest.approx(np.mean(ages), rel=1e-12)
    assert fitted.deviation == pytest.approx(np.std(ages), rel=1e-7)


def test_saving_keeps_every_bit(tmp_path: Path) -> None:
    moments = Moments(count=3, mean=0.1 + 0.2, deviation=1e-300 / 3, log1p=True)
    statistics = Statistics(features={"age": moments.model_dump()})
    statistics.save(tmp_path / "statistics.json")
    assert Statistics.load(tmp_path / "statistics.json").of("age", Moments) == moments


@pytest.mark.parametrize("text", ["", "[1", '{"numbers": {"age": 1}}'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "statistics.json").write_text(text)
    for name in ("statistics.json", "absent.json"):
        with pytest.raises(InputError, match=f"{name}: not the statistics"):
            Statistics.load(tmp_path / name)


def test_unfitted_features_are_refused() -> None:
    with pytest.raises(InputError, match="'age' are missing"):
        moments_of(NUMBERS[0], Statistics(features={}))
    with pytest.raises(InputError, match="'age' are no moments"):
        moments_of(NUMBERS[0], Statistics(features={"age": {"mean": 1}}))
    fitted = Statistics(features={"spent": Moments(count=1, mean=0, deviation=1, log1p=False).model_dump()})
    with pytest.raises(InputError, match="'spent' were fitted with log1p: False"):
        moments_of(NUMBERS[1], fitted)


def test_statistics_of_older_runs_are_read(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").write_text('{"numbers": {"age": {"count": 3, "mean": 0.5, "deviation": 2.0, "log1p": false}}}')
    assert moments_of(NUMBERS[0], Statistics.load(tmp_path / "statistics.json")) == Moments(count=3, mean=0.5, deviation=2, log1p=False)


@pytest.mark.parametrize(("paid", "words"), [(-0.5, "-0.5 is below 0"), (np.inf, "NaN or infinity"), (np.nan, "NaN or infinity")])
def test_bad_numbers_are_named(tmp_path: Path, paid: float, words: str) -> None:
    write(tmp_path, [1.0] * 9, np.array([0.0] * 8 + [paid]), 3, 2)
    with pytest.raises(InputError, match=rf"2\.parquet, row group 1, column 'paid': {words}"):
        fit_statistics([str(tmp_path)], NUMBERS)


OTHERS = features(
    {"kind": "number", "name": "age"},
    {"kind": "bucket", "name": "paid_bucket", "column": "paid", "quantiles": 4},
    {"kind": "id", "name": "town", "buckets": 5, "encoding": "vocabulary", "vocabulary": "towns.txt"},
    {"kind": "sequence", "name": "past", "items": [{"column": "c", "buckets": 2, "encoding": "vocabulary", "vocabulary": "towns.txt"}]},
).features


def test_quantiles_and_vocabularies_are_learned_in_the_same_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "towns.txt").write_bytes("Köln\r\nab c\r\n".encode())
    paid = np.random.default_rng(0).exponential(size=1000)
    write(tmp_path / "log", [1.0] * 1000, paid, 3, 70)
    fitted = [fit_statistics([str(tmp_path / "log")], OTHERS, threads) for threads in (1, 3)]
    assert fitted[0] == fitted[1]
    assert fitted[0].of("paid_bucket", Quantiles) == Quantiles(
        count=1000, intervals=4, boundaries=np.quantile(paid, [0.25, 0.5, 0.75], method="inverted_cdf").tolist()
    )
    assert fitted[0].of("town", Vocabulary) == fitted[0].of("past.c", Vocabulary) == Vocabulary(values=["Köln", "ab c"])
    assert list(fitted[0].features) == ["age", "paid_bucket", "town", "past.c"]


def test_equally_many_rows_fall_into_each_interval(tmp_path: Path) -> None:
    """But those that have one value stay together."""
    paid = np.concatenate([np.zeros(500), np.random.default_rng(0).permutation(500) + 1])
    write(tmp_path, [1.0] * 1000, paid, 3, 70)
    bucket = features({"kind": "bucket", "name": "paid", "quantiles": 10})
    own = Transforms(bucket, [], None, fit_statistics([str(tmp_path)], bucket.features))
    rows = own(pa.RecordBatch.from_pydict({"paid": paid}), "log").ids[0][0]
    assert np.bincount(rows).tolist() == [0, 500, 100, 100, 100, 100, 100]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "not a readable vocabulary"),
        (b"\xff\xfe", "not a readable vocabulary"),
        (b"a\n\nb\n", "line 2: is empty"),
        (b"", "line 1: is empty"),
        (b"a\nb\na\n", "'a' stands there 2 times"),
        (b"1\n2\n3\n4\n5\n6\n", "6 values for a table of 5 buckets; raise `buckets`"),
    ],
)
def test_bad_vocabularies_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes | None, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        (tmp_path / "towns.txt").write_bytes(text)
    with pytest.raises(InputError, match=rf"towns\.txt.*{words}") as refusal:
        fit_statistics(["no log is read"], OTHERS[2:3])
    assert "\n" not in str(refusal.value)


def test_quantiles_of_other_settings_are_refused() -> None:
    learned = Statistics(features={"paid_bucket": {"count": 1, "intervals": 3, "boundaries": []}})
    with pytest.raises(InputError, match="'paid_bucket' were fitted with quantiles: 3"):
        OTHERS[1].transform({table.name: table for table in OTHERS[1].tables()}, learned)
