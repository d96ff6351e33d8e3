"""Reads KuaiRand-Pure (Gao et al., CIKM 2022), as the official CSV files or as parquet files made of them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.errors import InputError

FIRST_DATE = 20220425
HISTORY = 50

USERS_CSV, VIDEOS_CSV = "user_features_pure.csv", "video_features_basic_pure.csv"
LOGS_CSV = ("log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv")
LOG, EARLIER = "kuairand_pure_0425_0508.parquet", "kuairand_history_before_0425.parquet"
USERS, VIDEOS = "kuairand_user_features.parquet", "kuairand_video_features.parquet"

FLAGS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "is_profile_enter", "long_view", "is_rand")
TIMES = ("play_time_ms", "duration_ms", "profile_stay_time", "comment_stay_time")
LOG_COLUMNS = dict.fromkeys(("time_ms", "user_id", "video_id", "date", "hourmin", "tab", *FLAGS, *TIMES), pa.int64())
EARLIER_COLUMNS = dict.fromkeys(("user_id", "pos", "video_id", "long_view", "is_like", "history_len"), pa.int64())
USER_WORDS = ("user_active_degree", "follow_user_num_range", "fans_user_num_range", "friend_user_num_range", "register_days_range")
USER_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
USER_CODES = ("is_lowactive_period", "is_live_streamer", "is_video_author", *(f"onehot_feat{number}" for number in range(18)))
USER_COLUMNS = {
    "user_id": pa.int64(),
    **dict.fromkeys(USER_WORDS, pa.string()),
    **dict.fromkeys((*USER_NUMBERS, *USER_CODES), pa.float64()),
}
VIDEO_WORDS = ("video_type", "upload_dt", "upload_type", "tag")
VIDEO_NUMBERS = ("author_id", "visible_status", "video_duration", "server_width", "server_height", "music_id", "music_type")
VIDEO_COLUMNS = {"video_id": pa.int64(), **dict.fromkeys(VIDEO_NUMBERS, pa.float64()), **dict.fromkeys(VIDEO_WORDS, pa.string())}


@dataclass(frozen=True)
class KuaiRand:
    """The log from 2022-04-25 on, and what is known besides.

    log: N rows in order of time; every column an (N,) int64 array. earlier: the at most 50 last impressions of each user before that day,
    in order of user and time, as (E,) arrays user_id, video_id, long_view, is_like and history_len (how many the user had). users, videos:
    a row each. duplicates: exact repeats that were dropped from the log.
    """

    log: dict[str, NDArray[np.int64]]
    earlier: dict[str, NDArray[np.int64]]
    users: pa.Table
    videos: pa.Table
    duplicates: int


def load(source: Path) -> KuaiRand:
    """Everything in the folder `source`, in its folder `data`, or in KuaiRand-Pure/data below it.

    Raises InputError when files or columns are missing or a value isn't what it should be.
    """
    for folder in (source, source / "data", source / "KuaiRand-Pure" / "data"):
        if (folder / LOG).exists():
            log, earlier = _parquet(folder / LOG, LOG_COLUMNS), _parquet(folder / EARLIER, EARLIER_COLUMNS)
            return _assemble(log, _in_order(earlier), _parquet(folder / USERS, USER_COLUMNS), _parquet(folder / VIDEOS, VIDEO_COLUMNS))
        if (folder / LOGS_CSV[1]).exists():
            everything = pa.concat_tables([_csv(folder / name, LOG_COLUMNS) for name in LOGS_CSV])
            new = pc.greater_equal(everything["date"], FIRST_DATE)
            if pc.all(new).as_py() or not pc.any(new).as_py():
                raise InputError(f"{folder}: the logs must have impressions before {FIRST_DATE} and from then on; get the files again")
            earlier = last_impressions(everything.filter(pc.invert(new)))
            return _assemble(
                everything.filter(new), earlier, _csv(folder / USERS_CSV, USER_COLUMNS), _csv(folder / VIDEOS_CSV, VIDEO_COLUMNS)
            )
    raise InputError(f"{source}: holds neither {LOGS_CSV[1]} nor {LOG}; --source must be the folder KuaiRand-Pure or its `data`")


def last_impressions(log: pa.Table) -> dict[str, NDArray[np.int64]]:
    """The last 50 rows of each user in order of time, with the number of all its rows as `history_len`."""
    columns = _arrays(log, ("user_id", "video_id", "long_view", "is_like"))
    order = np.lexsort((log["time_ms"].to_numpy(), columns["user_id"]))
    columns = {name: values[order] for name, values in columns.items()}
    _, first, counts = np.unique(columns["user_id"], return_index=True, return_counts=True)
    columns["history_len"] = np.repeat(counts, counts)
    from_the_end = np.repeat(first + counts, counts) - np.arange(len(order))
    return {name: values[from_the_end <= HISTORY] for name, values in columns.items()}


def _in_order(earlier: pa.Table) -> dict[str, NDArray[np.int64]]:
    columns = _arrays(earlier, tuple(EARLIER_COLUMNS))
    order = np.lexsort((columns["pos"], columns.pop("user_id")))
    columns["user_id"] = earlier["user_id"].to_numpy()
    return {name: values[order] for name, values in columns.items() if name != "pos"}


def _assemble(log: pa.Table, earlier: dict[str, NDArray[np.int64]], users: pa.Table, videos: pa.Table) -> KuaiRand:
    columns = _arrays(log, tuple(LOG_COLUMNS))
    order = np.lexsort(tuple(reversed(list(columns.values()))))  # by time first; the rest makes the order of equal times reproducible
    columns = {name: values[order] for name, values in columns.items()}
    fresh = _differs_from_previous(columns)
    # The earlier impressions have no time, so a repeat is known by the same video and outcome twice in a row.
    earlier_fresh = _differs_from_previous(earlier)
    return KuaiRand(
        log={name: values[fresh] for name, values in columns.items()},
        earlier={name: values[earlier_fresh] for name, values in earlier.items()},
        users=users,
        videos=videos,
        duplicates=int((~fresh).sum()),
    )


def _differs_from_previous(columns: dict[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
    differs = np.zeros(len(next(iter(columns.values()))), bool)
    differs[:1] = True
    for values in columns.values():
        differs[1:] |= values[1:] != values[:-1]
    return differs


def locate(known: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(R,) place in `known` of each of the (R,) `ids`; -1 for one that isn't there."""
    order = np.argsort(known, kind="stable")
    place = order[np.searchsorted(known[order], ids).clip(0, len(known) - 1)]
    return np.where(known[place] == ids, place, -1)


def _arrays(table: pa.Table, names: tuple[str, ...]) -> dict[str, NDArray[np.int64]]:
    return {name: table[name].to_numpy().copy() for name in names}


def _parquet(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    try:
        file = pq.ParquetFile(path)
        _require(path, columns, file.schema_arrow.names)
        return _checked(path, file.read(list(columns)).select(list(columns)).cast(pa.schema(columns)))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; it belongs beside {LOG}") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}; get the file again") from None


def _csv(path: Path, columns: dict[str, pa.DataType]) -> pa.Table:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            _require(path, columns, next(csv.reader(file), []))
        options = pa_csv.ConvertOptions(column_types=columns, include_columns=list(columns), strings_can_be_null=True)
        return _checked(path, pa_csv.read_csv(path, convert_options=options))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; it belongs beside {LOGS_CSV[1]}") from None
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: {str(error).splitlines()[0]}; get the file again") from None


def _require(path: Path, columns: dict[str, pa.DataType], names: list[str]) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        raise InputError(f"{path}: has no column {missing[0]}; give the unchanged files of KuaiRand-Pure")


def _checked(path: Path, table: pa.Table) -> pa.Table:
    """The table, with no missing ids or outcomes."""
    if not table.num_rows:
        raise InputError(f"{path}: has no rows; get the file again")
    for field in table.schema:
        if pa.types.is_int64(field.type) and table[field.name].null_count:
            raise InputError(f"{path}: column {field.name}: {table[field.name].null_count} rows have no value; get the file again")
    return table
