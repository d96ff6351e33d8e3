"""The KuaiRand log: the same from CSV and parquet, against per-row loops, and blind to the future."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from recsys.data.kuairand import prepare, split_of
from recsys.data.kuairand_columns import COLUMNS
from recsys.data.kuairand_source import EARLIER, LOG, LOG_COLUMNS, LOGS_CSV, USERS, USERS_CSV, VIDEOS, VIDEOS_CSV, locate
from recsys.data.schema import Schema
from recsys.errors import InputError

USER_LIMIT = 200
OUTCOMES = ["is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_profile_enter", "is_hate", "long_view", "play_time_ms"]


@pytest.fixture(scope="module")
def parquet(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of some users, in the layout of the parquet files."""
    folder = tmp_path_factory.mktemp("parquet")
    for name in (LOG, EARLIER):
        table = pq.read_table(real_data / name)
        pq.write_table(table.filter(pc.less(table["user_id"], USER_LIMIT)), folder / name)
    for name in (USERS, VIDEOS):
        shutil.copy(real_data / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def official(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same rows in the official layout; the earlier rows get times, and those that the parquet file leaves out are made up."""
    folder = tmp_path_factory.mktemp("csv")
    data = folder / "data"
    data.mkdir()
    log, earlier = pq.read_table(parquet / LOG), pq.read_table(parquet / EARLIER)
    before = _earlier_rows(earlier)
    order = np.random.default_rng(0).permutation(before.num_rows)
    first, second = before.take(pa.array(order[:2000])), before.take(pa.array(order[2000:]))
    shuffled = log.select(list(LOG_COLUMNS)).take(pa.array(np.random.default_rng(1).permutation(log.num_rows)))
    csv.write_csv(first, data / LOGS_CSV[0])
    csv.write_csv(pa.concat_tables([second, shuffled.cast(second.schema)]), data / LOGS_CSV[1])
    csv.write_csv(pq.read_table(parquet / USERS), data / USERS_CSV)
    videos = pq.read_table(parquet / VIDEOS)
    tag = pc.if_else(pc.equal(videos["tag"], "unknown"), None, videos["tag"])
    csv.write_csv(videos.set_column(videos.column_names.index("tag"), "tag", tag), data / VIDEOS_CSV)
    return folder


def _earlier_rows(earlier: pa.Table) -> pa.Table:
    """Rows of the official log that give this parquet file of earlier impressions: up to 50 listed ones a user, older ones before."""
    listed = earlier.select(["user_id", "video_id", "long_view", "is_like"]).to_pydict()
    listed["time_ms"] = (1_650_000_000_000 + 1000 * earlier["pos"].to_numpy().astype(np.int64)).tolist()
    counts = earlier.group_by("user_id").aggregate([("pos", "count"), ("history_len", "max")]).to_pylist()
    for user in counts:
        for age in range(1, user["history_len_max"] - user["pos_count"] + 1):
            for name, value in (("user_id", user["user_id"]), ("video_id", age % 7), ("long_view", 1), ("is_like", 1)):
                listed[name].append(value)
            listed["time_ms"].append(1_650_000_000_000 - 1000 * age)
    rows = len(listed["time_ms"])
    columns = {name: listed.get(name, [0] * rows) for name in LOG_COLUMNS}
    return pa.table({**columns, "date": [20220420] * rows}, schema=pa.schema(LOG_COLUMNS))


def read(log: Path) -> pa.Table:
    files = sorted(log.rglob("*.parquet"), key=lambda file: file.parent.name)
    return pa.concat_tables([pq.ParquetFile(file).read() for file in files])


@pytest.fixture(scope="module")
def log(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("prepared") / "log"
    prepare(parquet, output)
    return output


@pytest.fixture(scope="module")
def rows(log: Path) -> list[dict]:
    return read(log).to_pylist()


def test_csv_and_parquet_give_the_same_log(official: Path, log: Path, tmp_path: Path) -> None:
    assert prepare(official, tmp_path / "log") == Schema.load(log)
    assert read(tmp_path / "log") == read(log)
    prepare(official / "data", tmp_path / "again")
    assert read(tmp_path / "again") == read(log)


def test_exact_repeats_are_found_and_dropped(parquet: Path, log: Path, rows: list[dict]) -> None:
    marked = pq.read_table(parquet / LOG)["dup"].to_numpy()
    schema = Schema.load(log)
    assert schema.duplicates_dropped == marked.sum() > 0
    assert sum(split.rows for split in schema.splits.values()) == len(rows) == len(marked) - marked.sum()


def test_splits_are_by_date_and_columns_are_described(parquet: Path, log: Path) -> None:
    for folder in log.glob("split=*/date=*"):
        assert folder.parent.name == f"split={split_of(int(folder.name[5:].replace('-', '')))}"
    assert [split_of(date) for date in (20220425, 20220503, 20220504, 20220505, 20220506)] == ["train", "train", "valid", "valid", "test"]
    source = pq.read_table(parquet / LOG)
    for split, part in Schema.load(log).splits.items():
        kept = pc.and_(pc.equal(source["split"], split), pc.equal(source["dup"], 0))
        assert part.rows == pc.sum(kept).as_py()
        assert part.rates["is_click"] == pytest.approx(pc.mean(source.filter(kept)["is_click"]).as_py())
    assert {column.name for column in Schema.load(log).columns} == set(COLUMNS)


def test_labels_and_features_of_the_row_are_those_of_the_files(parquet: Path, rows: list[dict]) -> None:
    raw = {(row["user_id"], row["video_id"], row["time_ms"], row["play_time_ms"]): row for row in pq.read_table(parquet / LOG).to_pylist()}
    users = {row["user_id"]: row for row in pq.read_table(parquet / USERS).to_pylist()}
    videos = {row["video_id"]: row for row in pq.read_table(parquet / VIDEOS).to_pylist()}
    for row in rows[::7]:
        source = raw[row["user_id"], row["video_id"], row["time_ms"], round(row["watch_seconds"] * 1000)]
        assert row["engaged"] == max(source[name] for name in ("is_like", "is_follow", "is_comment", "is_forward", "is_profile_enter"))
        for name in ("is_click", "long_view", "tab", "author_id", "tag"):
            assert row[name] == source[name]
        assert row["tags"] == source["tag"].split(",")
        day = np.datetime64(f"{source['date'] // 10_000}-{source['date'] // 100 % 100:02d}-{source['date'] % 100:02d}")
        assert row["weekday"] == day.item().weekday()
        assert row["video_age_days"] == (day - np.datetime64(source["upload_dt"])).astype(int)
        for name in ("register_days", "onehot_feat3", "onehot_feat12", "follow_user_num_range"):
            assert row[name] == users[row["user_id"]][name]
        assert row["music_id"] == videos[row["video_id"]]["music_id"]
        seconds = source["duration_ms"] or videos[row["video_id"]]["video_duration"]
        assert row["video_seconds"] == (pytest.approx(seconds / 1000) if seconds else None)


def test_counters_and_histories_match_a_loop_over_all_earlier_rows(parquet: Path, rows: list[dict]) -> None:
    before: dict[int, list[dict]] = {}
    for row in pq.read_table(parquet / EARLIER).sort_by([("user_id", "ascending"), ("pos", "ascending")]).to_pylist():
        event = {name: row[name] for name in ("video_id", "long_view", "is_like")}
        if before.setdefault(row["user_id"], [])[-1:] != [event]:
            before[row["user_id"]].append(event)
    for row in rows[:: len(rows) // 150]:
        past = sorted((other for other in rows if other["time_ms"] < row["time_ms"]), key=lambda other: other["time_ms"])
        own = [other for other in past if other["user_id"] == row["user_id"]]
        events = (before.get(row["user_id"], []) + own)[-50:]
        for column, name in (("history_long_view", "long_view"), ("history_like", "is_like")):
            assert row[column] == [event[name] for event in events]
        assert row["history_video"] == [event["video_id"] for event in events]
        lifts = [other["is_click"] - other["tab_click"] for other in own]
        assert row["user_impressions"] == len(own)
        assert row["user_click"] == pytest.approx(sum(lifts) / (len(lifts) + 5), abs=1e-5)
        assert row["user_impressions_1h"] == sum(row["time_ms"] - other["time_ms"] <= 3_600_000 for other in own)
        same_author = [other for other in past if other["author_id"] == row["author_id"]]
        watch = [math.log1p(other["watch_seconds"]) - other["tab_log_watch"] for other in same_author]
        assert row["author_log_watch"] == pytest.approx(sum(watch) / (len(watch) + 20), abs=1e-4)
        assert row["user_author_impressions"] == sum(other["user_id"] == row["user_id"] for other in same_author)
        gap = (row["time_ms"] - own[-1]["time_ms"]) / 1000 if own else None
        assert row["user_gap"] == (pytest.approx(gap) if own else None)
        assert (row["user_last_tab"] in {other["tab"] for other in own if other["time_ms"] == own[-1]["time_ms"]}) if own else not gap
        overall = (sum(other["is_click"] for other in past) + 200 * 0.45) / (len(past) + 200)
        same_tab = [other["is_click"] for other in past if other["tab"] == row["tab"]]
        assert row["tab_click"] == pytest.approx((sum(same_tab) + 50 * overall) / (len(same_tab) + 50), abs=1e-5)


def test_what_happens_later_changes_nothing(parquet: Path, rows: list[dict], tmp_path: Path) -> None:
    """Outcomes from T on are scrambled: features of rows up to T, and everything before T, stay as they are."""
    source = pq.read_table(parquet / LOG)
    instant = int(np.quantile(source["time_ms"].to_numpy(), 0.5, method="nearest"))
    later = source["time_ms"].to_numpy() >= instant
    random = np.random.default_rng(0)
    for name in OUTCOMES:
        values = np.where(later, random.integers(0, 90_000 if name == "play_time_ms" else 2, len(later)), source[name].to_numpy())
        source = source.set_column(source.column_names.index(name), name, pa.array(values, source[name].type))
    for name in (EARLIER, USERS, VIDEOS):
        shutil.copy(parquet / name, tmp_path / name)
    pq.write_table(source, tmp_path / LOG)
    prepare(tmp_path, tmp_path / "log")
    labels = [name for name, (kind, _) in COLUMNS.items() if kind == "label"]
    key = ("time_ms", "user_id", "video_id")

    def known(table_rows: list[dict]) -> list[tuple]:
        kept = [row for row in table_rows if row["time_ms"] <= instant]
        return sorted((*(row[name] for name in key), str({name: row[name] for name in row if name not in labels})) for row in kept)

    scrambled = read(tmp_path / "log").to_pylist()
    assert known(scrambled) == known(rows)
    assert [row["user_click"] for row in scrambled[-200:]] != [row["user_click"] for row in rows[-200:]]


def test_users_and_videos_that_are_not_in_the_tables_get_nulls(parquet: Path, rows: list[dict], tmp_path: Path) -> None:
    row = rows[-1]
    for name in (LOG, EARLIER):
        shutil.copy(parquet / name, tmp_path / name)
    for name, key in ((USERS, "user_id"), (VIDEOS, "video_id")):
        table = pq.read_table(parquet / name)
        pq.write_table(table.filter(pc.not_equal(table[key], row[key])), tmp_path / name)
    prepare(tmp_path, tmp_path / "log")
    after = read(tmp_path / "log").to_pylist()
    strangers = [other for other in after if (other["user_id"], other["video_id"]) == (row["user_id"], row["video_id"])]
    assert strangers
    for other in strangers:
        assert other["author_id"] is other["register_days"] is other["onehot_feat0"] is other["aspect"] is other["video_age_days"] is None
        assert other["tag"] == "unknown"
        assert other["video_seconds"] == row["video_seconds"]
    assert [other["user_impressions"] for other in after] == [other["user_impressions"] for other in rows]
    assert sum(other["register_days"] is None for other in after) == sum(other["user_id"] == row["user_id"] for other in rows)


def test_locate() -> None:
    assert locate(np.array([7, 3, 5]), np.array([5, 4, 7, 9, 1])).tolist() == [2, -1, 0, -1, -1]


def test_wrong_sources_are_refused_in_one_line(official: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds neither"):
        prepare(tmp_path, tmp_path / "log")
    shutil.copytree(official, tmp_path / "source")
    path = tmp_path / "source" / "data" / LOGS_CSV[1]
    lines = path.read_text().splitlines(keepends=True)
    for text, what in [
        (lines[0].replace("is_like", "liked") + "".join(lines[1:]), "has no column is_like"),
        (lines[0], "has no rows"),
        (lines[0] + lines[1], "must have impressions before"),
        (lines[0] + lines[1].replace(lines[1].split(",")[1], "abc", 1), "abc"),
        (lines[0] + ",".join(["", *lines[1].split(",")[1:]]), "1 rows have no value"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=what) as error:
            prepare(tmp_path / "source", tmp_path / "log")
        assert str(path.parent) in str(error.value)
        assert "\n" not in str(error.value)
    path.write_text("".join(lines))
    (path.parent / VIDEOS_CSV).unlink()
    with pytest.raises(InputError, match=f"{VIDEOS_CSV}: not found"):
        prepare(tmp_path / "source", tmp_path / "log")
    assert not (tmp_path / "log").exists()
