"""KuaiRand-Pure profiles: one row per user and one per video of a short-video app, without an interaction log.

Source: user_features_pure.csv and video_features_basic_pure.csv (Gao et al., "KuaiRand", CIKM 2022).
"""

from collections import Counter
from datetime import UTC, date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups
from adapters.text import keep, number, read_text, whole
from headrace.days import day_start

__all__ = ["adapt_kuairand"]

_DAY, _ZONE = date(2022, 4, 8), "Asia/Shanghai"
_FROM = day_start(_DAY, _ZONE).astimezone(UTC)
_TEXTS = [
    "user_active_degree",
    *(f"{of}_range" for of in ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")),
]
_FLAGS = ["is_lowactive_period", "is_live_streamer", "is_video_author"]
_COUNTS = ["follow_user_num", "fans_user_num", "friend_user_num", "register_days"]
_CODES = [f"onehot_feat{n}" for n in range(18)]
_VIDEO = [
    "video_id",
    "author_id",
    "video_type",
    "upload_dt",
    "upload_type",
    "video_duration",
    "server_width",
    "server_height",
]
_VIDEO += ["music_type", "tag"]


def adapt_kuairand(source: Path, landing: Landing) -> Said:
    """Write one version of every profile on one landing day."""
    users, videos = require(source, "user_features_pure.csv", "video_features_basic_pure.csv")
    said, facts = Said(), Counter[str]()
    for block in read_text(users, wanted=["user_id", *_TEXTS, *_FLAGS, *_COUNTS, *_CODES], dropped=said.dropped):
        landing.write("user_profile", _DAY, _user_rows(block, said.dropped, facts))
    for block in read_text(videos, wanted=_VIDEO, dropped=said.dropped):
        landing.write("item_profile", _DAY, _video_rows(block, said.dropped, facts))
    said.missing = _lacks(facts)
    said.config, said.features = _config(), _groups()
    return said


def _own(name: str) -> str:
    """Our name of a user column: the entity's prefix comes back when the feature is named."""
    return name.removeprefix("user_")


def _config() -> dict:
    user = (
        dict.fromkeys(map(_own, [*_TEXTS, *_CODES]), "string")
        | dict.fromkeys(_FLAGS, "int")
        | dict.fromkeys(_COUNTS, "bigint")
    )
    item = {"tags": "string", "video_type": "string", "upload_type": "string", "music_type": "string"}
    item |= {"server_width": "int", "server_height": "int"}
    return {
        "timezone": _ZONE,
        "profiles": {"user": {"columns": user}, "item": {"columns": item}},
        "context": {"columns": []},
        "coverage": {"slices": ["item_format", "user_active_degree"]},
    }


def _groups() -> dict:
    counted = {"windows": ["1d", "7d"], "count": ["impression", "click"], "rate_smoothed": {"click": 10}}
    return feature_groups({
        "user": {"entity": "user", **counted},
        "user_by_category": {"entity": "user", "segment": "item.category", **counted},
        "item": {"entity": "item", **counted},
        "item_by_active_degree": {"entity": "item", "segment": "user.active_degree", **counted},
        "author": {"entity": "author", **counted},
    })  # fmt: skip


def _lacks(facts: Counter[str]) -> list[str]:
    return [
        "no interactions: the log is not part of this source; `headrace run` stops until "
        "impressions and engagements land beside",
        f"profiles have no dates: landed on and valid from {_DAY}, the first day of the published log; a date of ours",
        f"dates have no timezone: upload_dt is read as a day that begins in {_ZONE}, the timezone of kuairand.yaml",
        "no gender, age, age band, registration time (null): register_days counts from a day that is not named",
        f"is_live_streamer is -124, no answer, for {facts['streamer']:,} users: null",
        f"UNKNOWN is null: {facts['user_unknown']:,} cells of users, {facts['video_unknown']:,} of videos",
        f"{facts['no_duration']:,} videos have no duration (mostly picture posts): their duration and format are null",
        f"tag holds numbers without names; the first is the category, all are in tags; {facts['no_tag']:,} have none",
        "no quality score (null); upload day without time of day",
        "music_id and visible_status of videos are left out; onehot_feat0 to 17 are anonymous codes and land as text",
    ]


def _known(text: pa.ChunkedArray, facts: Counter[str], *, of: str) -> pa.ChunkedArray:
    unknown = pc.fill_null(pc.equal(text, "UNKNOWN"), False)
    facts[f"{of}_unknown"] += pc.sum(unknown).as_py() or 0
    return pc.if_else(unknown, pa.scalar(None, pa.string()), text)


def _readable(rows: pa.Table, parsed: dict, dropped: Counter[str], *, key: str, table: str) -> pa.Table:
    """Parsed columns of the rows of which every cell could be read; the others are counted by column."""
    wrong = {f"{table} without {key}": pc.is_null(rows.column(key))}
    for name in rows.column_names:
        if name in parsed:
            broken = pc.and_(pc.is_valid(rows.column(name)), pc.is_null(parsed[name]))
            wrong[f"{table} with an unreadable {name}"] = broken
    texts = {name: rows.column(name) for name in rows.column_names}
    return keep(pa.table({**texts, **parsed}), wrong, dropped=dropped)


def _user_rows(block: pa.Table, dropped: Counter[str], facts: Counter[str]) -> pa.Table:
    kinds = {"user_id": pa.int64()} | dict.fromkeys(_FLAGS, pa.int32()) | dict.fromkeys(_COUNTS + _CODES, pa.int64())
    parsed = {name: whole(block.column(name), kind) for name, kind in kinds.items()}
    rows = _readable(block, parsed, dropped, key="user_id", table="users")
    streamer = rows.column("is_live_streamer")
    unsure = pc.fill_null(pc.less(streamer, 0), False)
    facts["streamer"] += pc.sum(unsure).as_py() or 0
    made = {name: rows.column(name) for name in [*_FLAGS, *_COUNTS]}
    made["is_live_streamer"] = pc.if_else(unsure, pa.scalar(None, pa.int32()), streamer)
    made |= {_own(name): _known(rows.column(name), facts, of="user") for name in _TEXTS}
    made |= {name: rows.column(name).cast(pa.string()) for name in _CODES}
    count = rows.num_rows
    absent = {"gender": pa.string(), "age": pa.int32(), "age_band": pa.string(), "registered_ts": STAMP}
    blank = {name: pa.nulls(count, kind) for name, kind in absent.items()}
    return pa.table(
        {"user_id": rows.column("user_id"), "valid_from": pa.repeat(pa.scalar(_FROM, STAMP), count), **blank, **made}
    )


def _video_rows(block: pa.Table, dropped: Counter[str], facts: Counter[str]) -> pa.Table:
    kinds = {"video_id": pa.int64(), "author_id": pa.int64(), "server_width": pa.int32(), "server_height": pa.int32()}
    kinds["music_type"] = pa.int32()
    parsed = {name: whole(block.column(name), kind) for name, kind in kinds.items()}
    parsed["video_duration"] = number(block.column("video_duration"))
    parsed["upload_dt"] = _day_start(block.column("upload_dt"))
    rows = _readable(block, parsed, dropped, key="video_id", table="videos")
    duration, tag = rows.column("video_duration"), rows.column("tag")
    facts["no_duration"] += duration.null_count
    facts["no_tag"] += tag.null_count
    has_duration = pc.is_valid(duration)
    return pa.table({
        "item_id": rows.column("video_id"), "valid_from": pa.repeat(pa.scalar(_FROM, STAMP), rows.num_rows),
        "author_id": rows.column("author_id"), "category": pc.replace_substring_regex(tag, r",.*$", ""),
        "format": pc.if_else(has_duration, pa.scalar("video"), pa.scalar(None, pa.string())),
        "duration_s": pc.divide(duration, 1000.0), "publish_ts": rows.column("upload_dt"),
        "quality_score": pa.nulls(rows.num_rows, pa.float64()), "tags": tag,
        "video_type": _known(rows.column("video_type"), facts, of="video"),
        "upload_type": _known(rows.column("upload_type"), facts, of="video"),
        "music_type": rows.column("music_type").cast(pa.string()),
        "server_width": rows.column("server_width"), "server_height": rows.column("server_height"),
    })  # fmt: skip


def _day_start(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """First instant of the day in the business timezone; null where the text is not a date."""
    local = pc.strptime(text, format="%Y-%m-%d", unit="us", error_is_null=True)
    same = pc.equal(pc.strftime(local, format="%Y-%m-%d"), text)  # strptime turns 02-30 into 03-02
    return pc.assume_timezone(pc.if_else(same, local, pa.scalar(None, pa.timestamp("us"))), _ZONE).cast(STAMP)
