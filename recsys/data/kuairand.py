"""KuaiRand-Pure (Gao et al., CIKM 2022, arXiv:2208.08696) as one log with features, histories and labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.data.kuairand_columns import COLUMNS
from recsys.data.kuairand_features import Array, Rows, code_column, number_column, rows_of, running_features
from recsys.data.kuairand_history import History, features_from_before
from recsys.data.kuairand_source import USER_CODES, USER_NUMBERS, USER_WORDS, KuaiRand, load, locate
from recsys.data.schema import Kind, Schema, columns_of
from recsys.data.writer import LogWriter

LAST_TRAIN_DATE, LAST_VALID_DATE = 20220503, 20220505


def prepare(source: Path, output: Path) -> Schema:
    """Write the log of the official CSV files or the parquet files in the folder `source`. Returns its description.

    Raises InputError when files are missing or damaged, or `output` can't be replaced.
    """
    data = load(source)
    rows = rows_of(data)
    numbers = {**running_features(rows), **features_from_before(data, rows)}
    fixed, history = _fixed_columns(data, rows), History(data, rows)

    def table(places: Array) -> pa.Table:
        known = {name: values.take(pa.array(places)) for name, values in fixed.items()}
        computed = {name: _of_kind(COLUMNS[name][0])(values[places]) for name, values in numbers.items()}
        return pa.table({**known, **computed, **history.lists(places)})

    with LogWriter(output, _schema(data, table(np.arange(1)).schema)) as log:
        for date in np.unique(data.log["date"]):
            log.write(table(np.flatnonzero(data.log["date"] == date)), split_of(date), str(_calendar(date)))
    return log.schema


def _of_kind(kind: Kind) -> Callable[[Array], pa.Array]:
    return code_column if kind == "id" else number_column


def split_of(date: int) -> str:
    """The split of a day, given as 20220425."""
    if date <= LAST_TRAIN_DATE:
        return "train"
    return "valid" if date <= LAST_VALID_DATE else "test"


def _calendar(date: Array) -> NDArray[np.datetime64]:
    """Days of numbers such as 20220425."""
    months = (date // 10_000 - 1970) * 12 + date // 100 % 100 - 1
    return np.asarray(months).astype("datetime64[M]").astype("datetime64[D]") + (date % 100 - 1)


def _fixed_columns(data: KuaiRand, rows: Rows) -> dict[str, pa.Array]:
    """(N,) columns of the row itself, its video, its user, and the labels."""
    log = data.log
    date = _calendar(log["date"])
    videos = data.videos.take(pa.array(rows.video, mask=rows.video < 0)).combine_chunks()
    user = locate(data.users["user_id"].to_numpy(), log["user_id"])
    users = data.users.take(pa.array(user, mask=user < 0)).combine_chunks()
    columns = {
        "user_id": log["user_id"],
        "video_id": log["video_id"],
        "time_ms": log["time_ms"],
        "tab": log["tab"].astype(np.int8),
        "hour": (log["hourmin"] // 100).astype(np.int8),
        "weekday": ((date.astype(np.int64) + 3) % 7).astype(np.int8),  # day 0, 1970-01-01, was a Thursday
        "video_seconds": number_column(rows.seconds),
        **_video_columns(videos, date),
        **{name: users[name] for name in USER_WORDS},
        **{name: users[name].cast(pa.int32()) for name in USER_CODES},
        **{name: users[name].cast(pa.float32()) for name in USER_NUMBERS},
        **rows.labels,
        "watch_seconds": rows.labels["watch_seconds"].astype(np.float32),
    }
    return {name: _array(values) for name, values in columns.items()}


def _video_columns(videos: pa.Table, date: NDArray[np.datetime64]) -> dict[str, Any]:
    tag = pc.fill_null(videos["tag"], "unknown")
    width, height = videos["server_width"].to_numpy(), videos["server_height"].to_numpy()
    uploaded = pc.strptime(videos["upload_dt"], format="%Y-%m-%d", unit="s").to_numpy().astype("datetime64[D]")
    age = (date - uploaded).astype(float)
    return {
        "author_id": videos["author_id"].cast(pa.int64()),
        "tag": tag,
        "tags": pc.split_pattern(tag, ","),
        "video_age_days": number_column(np.where(np.isnat(uploaded), np.nan, age)),
        "video_type": videos["video_type"],
        "upload_type": videos["upload_type"],
        "music_id": videos["music_id"].cast(pa.int64()),
        "music_type": videos["music_type"].cast(pa.int32()),
        "server_width": number_column(width),
        "server_height": number_column(height),
        "aspect": number_column(height / width),
    }


def _array(values: Any) -> pa.Array:
    """An Arrow array of one chunk."""
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else pa.array(values)


def _schema(data: KuaiRand, fields: pa.Schema) -> Schema:
    return Schema(
        name="kuairand_pure",
        description="Short-video impressions of 2022-04-25 to 2022-05-08 with what was known before each",
        source="https://kuairand.com, KuaiRand-Pure, standard log",
        licence="CC BY-SA 4.0; Gao et al., KuaiRand, CIKM 2022",
        user="user_id",
        time="time_ms",
        columns=columns_of(fields, COLUMNS),
        duplicates_dropped=data.duplicates,
    )
