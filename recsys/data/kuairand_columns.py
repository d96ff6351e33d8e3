"""What each column of the KuaiRand log means."""

from __future__ import annotations

from recsys.data.kuairand_features import FEEDBACK, GROUPS, LATEST, WINDOWS_MS
from recsys.data.kuairand_history import GROUPS as BEFORE
from recsys.data.kuairand_source import HISTORY, USER_CODES, USER_NUMBERS, USER_WORDS
from recsys.data.schema import Kind

_LIFT = {what: f"mean of {what} less that of the tab (its lift), shrunk towards 0, over earlier rows" for what in FEEDBACK}
_LATEST = {
    "gap": "seconds since the user's latest earlier row",
    "last_log_watch": "log(1 + seconds) that the user watched the latest earlier row",
    "last_click_lift": "click less the tab's mean, of the user's latest earlier row",
}


def _words(group: str) -> str:
    return group.replace("_", " and ")


COLUMNS: dict[str, tuple[Kind, str]] = {
    "user_id": ("id", "user"),
    "video_id": ("id", "video"),
    "author_id": ("id", "author of the video"),
    "tag": ("id", "categories of the video, as one string such as `39,43`"),
    "tags": ("ids", "the same, one by one"),
    "tab": ("id", "surface where the video was shown"),
    "hour": ("id", "hour of the day in China"),
    "weekday": ("id", "day of the week in China, Monday is 0"),
    "time_ms": ("time", "milliseconds since 1970, UTC"),
    "video_seconds": ("number", "length of the video; null where unknown"),
    "video_age_days": ("number", "days since the upload"),
    "video_type": ("id", "NORMAL or AD"),
    "upload_type": ("id", "how the video was uploaded"),
    "music_id": ("id", "background music"),
    "music_type": ("id", "type of the background music"),
    "server_width": ("number", "width in pixels"),
    "server_height": ("number", "height in pixels"),
    "aspect": ("number", "height / width"),
    **{name: ("id", f"user feature {name}") for name in (*USER_WORDS, *USER_CODES)},
    **{name: ("number", f"user feature {name}") for name in USER_NUMBERS},
    "history_video": ("sequence", f"videos of the user's last {HISTORY} earlier impressions, oldest first"),
    "history_author": ("sequence", "their authors"),
    "history_tag": ("sequence", "their tags, as in `tag`"),
    "history_outcome": ("sequence", "before the log 1, long view 2, like 3; in the log 4, click 5, long view 6, engaged 7"),
    "history_tab": ("sequence", "0 before the log, else 1 + tab"),
    "history_watch": ("sequence", "0 before the log, else 1 + floor(2 log(1 + watch seconds)), at most 11"),
    "history_age": ("sequence", "0 before the log, else 1 + floor(1.2 log(1 + minutes since)), at most 13"),
    "history_long_view": ("sequence", "1 where it was a long view"),
    "history_like": ("sequence", "1 where it was liked"),
    "is_click": ("label", "1 if clicked"),
    "engaged": ("label", "1 if liked, followed, commented, forwarded, or the author's profile was entered"),
    "long_view": ("label", "1 if watched for long"),
    "watch_seconds": ("label", "seconds watched"),
    **{name: ("label", f"feedback {name}") for name in ("is_like", "is_follow", "is_comment", "is_forward", "is_profile_enter", "is_hate")},
    **{f"tab_{what}": ("number", f"running mean of {what} on this tab") for what in FEEDBACK},
    **{f"{group}_impressions": ("number", f"earlier rows with the same {_words(group)}") for group in GROUPS},
    **{f"{group}_{what}": ("number", f"{_LIFT[what]} with the same {_words(group)}") for group in GROUPS for what in FEEDBACK},
    **{f"user_impressions_{window}": ("number", f"rows of the user in the last {window}") for window in WINDOWS_MS},
    "video_impressions_1d": ("number", "rows of the video in the last day"),
    **{f"{group}_{what}": ("number", f"{text} with the same {_words(group)}") for group in LATEST for what, text in _LATEST.items()},
    **{f"{group}_last_click": ("id", f"1 if the latest such row was clicked; null if none; {_words(group)}") for group in LATEST},
    "user_last_same_tab": ("id", "1 if that tab is this one; null if none"),
    "user_last_tab": ("id", "tab of the user's latest earlier row; null if none"),
    "user_recent_click": ("number", "sum of click lifts over the user's last 8 rows, each worth 0.8 times the next"),
    "user_recent_log_watch": ("number", "the same of log watch time"),
    "user_before_impressions": ("number", "rows of the user before the log"),
    "user_before_recent_long_view": ("number", "lift of long views over the user's last 10 rows before the log"),
    **{f"{group}_before_impressions": ("number", f"listed rows before the log with the same {_words(group)}") for group in BEFORE},
    **{f"{group}_before_{what}": ("number", f"lift of {what} over them") for group in ("user", *BEFORE) for what in ("long_view", "like")},
}
