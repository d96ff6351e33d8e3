"""What the impressions before the log say, and the history lists that join them to the log's own earlier rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.data.history import Earlier, codes, shrunk_mean
from recsys.data.kuairand_features import LOG_WATCH, Array, Columns, Rows, video_codes
from recsys.data.kuairand_source import HISTORY, KuaiRand, locate

# Rows that the prior of each group is worth.
GROUPS = {"video": 20, "author": 20, "tag": 50, "user_video": 1, "user_author": 2, "user_tag": 3}
USER_ROWS, RECENT_ROWS, RECENT_WEIGHT = 5, 10, 3
SEEN, SEEN_LONG, SEEN_LIKED, SHOWN, CLICKED, VIEWED, ENGAGED = range(1, 8)


def features_from_before(data: KuaiRand, rows: Rows) -> Columns:
    """(N,) means over the impressions before the log, of which only long views and likes are known, against their overall means."""
    earlier, log = data.earlier, data.log
    user = codes(np.concatenate([earlier["user_id"], log["user_id"]]))
    long_view, like = (earlier[name] - earlier[name].mean() for name in ("long_view", "is_like"))
    recent = _recent(earlier["user_id"])
    values = np.column_stack([np.ones(len(like)), long_view, like, recent, recent * long_view])
    count, long_views, likes, recent_count, recent_long_views = _totals(user, values).T
    level = shrunk_mean(long_views, count, USER_ROWS)
    of_log = user[len(like) :]
    totals = np.zeros(len(count))
    totals[user[: len(like)]] = earlier["history_len"]
    return {
        "user_before_impressions": totals[of_log],
        "user_before_long_view": level[of_log],
        "user_before_like": shrunk_mean(likes, count, USER_ROWS)[of_log],
        "user_before_recent_long_view": shrunk_mean(recent_long_views, recent_count, RECENT_WEIGHT)[of_log],
        **_group_means(data, rows, user, long_view - level[user[: len(like)]], like),
    }


def _recent(user: Array) -> Array:
    """(E,) whether a row is among the last 10 of its user; rows are in order of user and time."""
    end = np.searchsorted(user, user, "right")
    return end - np.arange(len(user)) <= RECENT_ROWS


def _group_means(data: KuaiRand, rows: Rows, user: Array, long_view: Array, like: Array) -> Columns:
    place = np.concatenate([locate(data.videos["video_id"].to_numpy(), data.earlier["video_id"]), rows.video])
    video = codes(np.concatenate([data.earlier["video_id"], data.log["video_id"]]))
    keys = {"video": video, "author": video_codes(data, "author_id")[place], "tag": video_codes(data, "tag")[place]}
    values = np.column_stack([np.ones(len(like)), long_view, like])
    features: Columns = {}
    for group, weight in GROUPS.items():
        key = keys[group] if group in keys else codes(user, keys[group.removeprefix("user_")])
        count, long_views, likes = _totals(key, values)[key[len(like) :]].T
        features[f"{group}_before_impressions"] = count
        features[f"{group}_before_long_view"] = shrunk_mean(long_views, count, weight)
        features[f"{group}_before_like"] = shrunk_mean(likes, count, weight)
    return features


def _totals(key: Array, values: Array) -> Array:
    """(number of keys, C) sums of the (E, C) values, which belong to the first E keys."""
    own = key[: len(values)]
    return np.column_stack([np.bincount(own, column, minlength=key.max() + 1) for column in values.T])


class History:
    """The impressions of all users as one list of events: the E before the log first, then the log's N rows."""

    def __init__(self, data: KuaiRand, rows: Rows) -> None:
        earlier, log = data.earlier, data.log
        self._first_row = len(earlier["user_id"])
        self._time = np.concatenate([np.arange(-self._first_row, 0), rows.time])  # earlier ones have an order, but no time
        self._before = Earlier(codes(np.concatenate([earlier["user_id"], log["user_id"]])), self._time)
        video = np.concatenate([earlier["video_id"], log["video_id"]])
        place = locate(data.videos["video_id"].to_numpy(), video)
        in_table = pa.array(place, mask=place < 0)
        watch = 1 + np.minimum(np.floor(2 * rows.feedback[:, LOG_WATCH]), 10)
        self._columns = {
            "history_video": pa.array(video),
            "history_author": data.videos["author_id"].take(in_table).cast(pa.int64()).combine_chunks(),
            "history_tag": pc.fill_null(data.videos["tag"].take(in_table), "unknown").combine_chunks(),
            "history_outcome": pa.array(np.concatenate([_outcome_before(earlier), _outcome(rows.labels)]), pa.int8()),
            "history_tab": pa.array(np.concatenate([np.zeros(self._first_row), 1 + rows.tab]), pa.int8()),
            "history_watch": pa.array(np.concatenate([np.zeros(self._first_row), watch]), pa.int8()),
            "history_long_view": pa.array(np.concatenate([earlier["long_view"], rows.labels["long_view"]]), pa.int8()),
            "history_like": pa.array(np.concatenate([earlier["is_like"], rows.labels["is_like"]]), pa.int8()),
        }

    def lists(self, rows: Array) -> dict[str, pa.ListArray]:
        """The user's last 50 events before each of the (R,) rows of the log, oldest first, as aligned lists."""
        offsets, events = self._before.lists(HISTORY, self._first_row + rows)
        columns = {name: values.take(pa.array(events)) for name, values in self._columns.items()}
        columns["history_age"] = pa.array(self._age(np.repeat(self._first_row + rows, np.diff(offsets)), events), pa.int8())
        places = pa.array(offsets, pa.int32())
        return {name: pa.ListArray.from_arrays(places, values) for name, values in columns.items()}

    def _age(self, now: Array, then: Array) -> Array:
        """(L,) time since an event on a logarithmic scale, 1 .. 13; 0 for those before the log."""
        minutes = (self._time[now] - self._time[then]) / 60_000
        return np.where(then < self._first_row, 0, 1 + np.minimum(np.floor(1.2 * np.log1p(minutes)), 12))


def _outcome_before(earlier: Columns) -> Array:
    return np.where(earlier["is_like"] == 1, SEEN_LIKED, np.where(earlier["long_view"] == 1, SEEN_LONG, SEEN))


def _outcome(labels: Columns) -> Array:
    order = ("engaged", ENGAGED), ("long_view", VIEWED), ("is_click", CLICKED)
    return np.select([labels[name] == 1 for name, _ in order], [code for _, code in order], SHOWN)
