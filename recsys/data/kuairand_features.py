"""What was known before each impression of KuaiRand: running means, recency, the latest outcomes.

A row at time t reads only rows of the log with a strictly smaller time. `lift` is what happened less the running mean of the surface (tab).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.data.history import Earlier, codes, shrunk_mean
from recsys.data.kuairand_source import KuaiRand, locate

Array = NDArray
Columns = dict[str, Array]

FEEDBACK = ("click", "long_view", "engaged", "log_watch", "completion")
CLICK, LOG_WATCH = FEEDBACK.index("click"), FEEDBACK.index("log_watch")
ENGAGEMENT = ("is_like", "is_follow", "is_comment", "is_forward", "is_profile_enter")
# Means to start from, worth 200 rows: round numbers, so that nothing is looked up in the days to come.
FIRST_GUESS, GUESS_ROWS, TAB_ROWS = np.array([0.45, 0.32, 0.04, 2.0, 0.5]), 200, 50
# Rows that the prior of each group is worth.
GROUPS = {
    "user": 5,
    "video": 20,
    "author": 20,
    "tag": 50,
    "music": 20,
    "user_tab": 3,
    "user_author": 2,
    "user_tag": 3,
    "user_video": 1,
    "user_day": 3,
    "video_tab": 20,
}
LATEST = ("user", "user_tab", "user_video", "user_author")
WINDOWS_MS = {"10m": 600_000, "1h": 3_600_000, "1d": 86_400_000}
RECENT_ROWS, RECENT_DECAY = 8, 0.8


@dataclass(frozen=True)
class Rows:
    """The N rows of the log: (N,) place of the video in the table of videos or -1, (N, 5) feedback, the earlier rows of each group."""

    time: Array
    tab: Array
    video: Array
    labels: Columns
    seconds: Array
    feedback: Array
    before: dict[str, Earlier]


def rows_of(data: KuaiRand) -> Rows:
    """The rows of the log, with the keys by which they are grouped."""
    log = data.log
    video = locate(data.videos["video_id"].to_numpy(), log["video_id"])
    labels = _labels(log)
    seconds = _seconds(log["duration_ms"], data.videos["video_duration"].to_numpy()[video], video)
    keys = _keys(log, {name: video_codes(data, f"{name}_id" if name != "tag" else name)[video] for name in ("author", "tag", "music")})
    before = {group: Earlier(key, log["time_ms"]) for group, key in keys.items()}
    return Rows(log["time_ms"], log["tab"], video, labels, seconds, _feedback(labels, seconds), before)


def video_codes(data: KuaiRand, column: str) -> Array:
    """(V + 1,) a number for each distinct value of a column of the videos; the last is for a video that is not there (place -1)."""
    indices = pc.dictionary_encode(data.videos[column].combine_chunks(), null_encoding="encode").indices.to_numpy()
    return np.append(indices, indices.max() + 1).astype(np.int64)


def running_features(rows: Rows) -> Columns:
    """(N,) float arrays by name; NaN where there is nothing to know."""
    surface = _surface_means(rows)
    lift = rows.feedback - surface
    tab = {f"tab_{name}": surface[:, place] for place, name in enumerate(FEEDBACK)}
    return {**tab, **_lifts(rows, lift), **_counts(rows), **_latest(rows, lift), **_recent(rows, lift)}


def _labels(log: Columns) -> Columns:
    flags = {name: log[name] for name in ("is_click", "long_view", *ENGAGEMENT, "is_hate")}
    flags["engaged"] = np.column_stack([log[name] for name in ENGAGEMENT]).max(1)
    return {**{name: values.astype(np.int8) for name, values in flags.items()}, "watch_seconds": log["play_time_ms"] / 1000}


def _seconds(duration_ms: Array, video_duration: Array, video: Array) -> Array:
    """(N,) length of the video as logged, else as the table of videos has it, else NaN."""
    return np.where(duration_ms > 0, duration_ms, np.where(video >= 0, video_duration, np.nan)) / 1000


def _keys(log: Columns, of_video: Columns) -> Columns:
    user, video, tab = codes(log["user_id"]), codes(log["video_id"]), codes(log["tab"])
    return {
        "user": user,
        "video": video,
        "tab": tab,
        **of_video,
        "user_tab": codes(user, tab),
        "user_author": codes(user, of_video["author"]),
        "user_tag": codes(user, of_video["tag"]),
        "user_video": codes(user, video),
        "user_day": codes(user, log["date"]),
        "video_tab": codes(video, tab),
    }


def _feedback(labels: Columns, seconds: Array) -> Array:
    """(N, 5) what happened; completion is log watch time over log length, at most 1.5."""
    watch = np.log1p(labels["watch_seconds"])
    length = np.nan_to_num(np.log1p(seconds), nan=3.5)
    completion = np.minimum(watch / np.maximum(length, 0.7), 1.5)
    return np.column_stack([labels["is_click"], labels["long_view"], labels["engaged"], watch, completion])


def _surface_means(rows: Rows) -> Array:
    """(N, 5) running means of the row's tab, which start at the running means of the whole log."""
    everywhere = Earlier(np.zeros(len(rows.time), np.int64), rows.time)
    overall = shrunk_mean(everywhere.total(rows.feedback), everywhere.count[:, None], GUESS_ROWS, FIRST_GUESS)
    tab = rows.before["tab"]
    return shrunk_mean(tab.total(rows.feedback), tab.count[:, None], TAB_ROWS, overall)


def _lifts(rows: Rows, lift: Array) -> Columns:
    features: Columns = {}
    for group, weight in GROUPS.items():
        before = rows.before[group]
        means = shrunk_mean(before.total(lift), before.count[:, None], weight)
        features[f"{group}_impressions"] = before.count
        features.update({f"{group}_{name}": means[:, place] for place, name in enumerate(FEEDBACK)})
    return features


def _counts(rows: Rows) -> Columns:
    user, video = rows.before["user"], rows.before["video"]
    counts = {f"user_impressions_{name}": user.count_within(window) for name, window in WINDOWS_MS.items()}
    return {**counts, "video_impressions_1d": video.count_within(WINDOWS_MS["1d"])}


def _latest(rows: Rows, lift: Array) -> Columns:
    """Seconds since, and outcome of, the latest earlier row of the same user, of the user on this tab, with this video, this author."""
    features: Columns = {}
    for group in LATEST:
        latest = rows.before[group].latest
        values = {
            "gap": (rows.time - rows.time[latest]) / 1000,
            "last_click": rows.feedback[latest, CLICK],
            "last_log_watch": rows.feedback[latest, LOG_WATCH],
            "last_click_lift": lift[latest, CLICK],
        }
        features.update({f"{group}_{name}": np.where(latest >= 0, value, np.nan) for name, value in values.items()})
    latest = rows.before["user"].latest
    features["user_last_tab"] = np.where(latest >= 0, rows.tab[latest], np.nan)
    features["user_last_same_tab"] = np.where(latest >= 0, rows.tab[latest] == rows.tab, np.nan)
    return features


def _recent(rows: Rows, lift: Array) -> Columns:
    """Sums of the lifts of the user's last 8 earlier rows, each worth 0.8 times the one after it."""
    previous = rows.before["user"].latest
    row, total = previous, np.zeros_like(lift)
    for step in range(RECENT_ROWS):
        total += np.where(row[:, None] >= 0, RECENT_DECAY**step * lift[row], 0)
        row = np.where(row >= 0, previous[row], -1)
    return {"user_recent_click": total[:, CLICK], "user_recent_log_watch": total[:, LOG_WATCH]}


def number_column(values: Array) -> pa.Array:
    """(N,) float32, null where NaN."""
    return pa.array(values.astype(np.float32), mask=np.isnan(values))


def code_column(values: Array) -> pa.Array:
    """(N,) int8, null where NaN."""
    return pa.array(np.nan_to_num(values).astype(np.int8), mask=np.isnan(values))
