"""KuaiRand-Pure profiles: users and videos of a short-video app, without an interaction log.

Source: user_features_pure.csv and video_features_basic_pure.csv (Gao et al., KuaiRand, CIKM 2022).
"""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups
from headrace.errors import InputError

__all__ = ["adapt_kuairand"]

_DAY = date(2022, 4, 8)
_FROM = datetime(2022, 4, 8, tzinfo=UTC)
_USER = {
    "user_active_degree": pa.string(), "is_live_streamer": pa.int32(), "is_video_author": pa.int32(),
    "follow_user_num": pa.int64(), "fans_user_num": pa.int64(), "friend_user_num": pa.int64(), "register_days": pa.int64(),
}
_TYPES = {pa.string(): "string", pa.int32(): "int", pa.int64(): "bigint", pa.float64(): "double"}


def adapt_kuairand(source: Path, landing: Landing) -> Said:
    """Write one version of every profile; both files are small and streamed by block."""
    users, videos = require(source, "user_features_pure.csv", "video_features_basic_pure.csv")
    for batch in _blocks(users, ["user_id", *_USER]):
        landing.write("user_profile", _DAY, _user_rows(batch))
    for batch in _blocks(videos, ["video_id", "author_id", "video_type", "upload_dt", "video_duration", "tag"]):
        landing.write("item_profile", _DAY, _video_rows(batch))
    said = Said(missing=[
        "no interactions: the log is not part of this source, so there is nothing to run but ingest of the profiles",
        "profiles have no dates: valid from 2022-04-08, the first day of the published log, a date of ours",
        "no gender, age, age band or registration time (only days since registration): those columns are null",
        "-124 in is_live_streamer stands for unknown and becomes null",
        "tag holds numbers without names; the first of several is the category",
        "no quality score; upload day without time of day",
        "the anonymous one-hot features of users are left out",
    ])
    columns = {name: _TYPES[kind] for name, kind in _USER.items()}
    said.config = {
        "timezone": "Asia/Shanghai", "profiles": {"user": {"columns": columns}}, "coverage": {"slices": ["item_format"]},
        "ingest": {"optional_tables": ["user_profile", "item_profile", "engagements"]},
    }
    said.features = feature_groups({
        "user": {"entity": "user", "windows": ["1d", "7d"], "count": ["impression", "click"]},
        "item": {"entity": "item", "windows": ["1d", "7d"], "count": ["impression", "click"]},
    })
    return said


def _blocks(path: Path, wanted: list[str]) -> pv.CSVStreamingReader:
    with path.open(encoding="utf-8") as source:
        header = source.readline().strip().split(",")
    lacking = [c for c in wanted if c not in header]
    if lacking:
        raise InputError(str(path), found=f"no columns {lacking}", wanted=f"{wanted}", remedy="check the file")
    everything_as_text = pv.ConvertOptions(
        include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()), strings_can_be_null=True
    )
    return pv.open_csv(path, convert_options=everything_as_text)


def _whole(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Text of a whole number, perhaps written 1.0, to an integer."""
    return column.cast(pa.float64()).cast(kind)


def _user_rows(batch: pa.RecordBatch) -> pa.Table:
    rows = batch.num_rows
    made = {
        "user_id": _whole(batch.column("user_id"), pa.int64()), "valid_from": pa.array([_FROM] * rows, STAMP),
        "gender": pa.nulls(rows, pa.string()), "age": pa.nulls(rows, pa.int32()), "age_band": pa.nulls(rows, pa.string()),
        "registered_ts": pa.nulls(rows, STAMP),
    }
    for name, kind in _USER.items():
        column = batch.column(name)
        made[name] = column if kind == pa.string() else _whole(column, kind)
    streamer = made["is_live_streamer"]
    made["is_live_streamer"] = pc.if_else(pc.less(streamer, 0), pa.scalar(None, pa.int32()), streamer)
    return pa.table(made)


def _video_rows(batch: pa.RecordBatch) -> pa.Table:
    rows = batch.num_rows
    duration = pc.divide(batch.column("video_duration").cast(pa.float64()), 1000.0)
    tag = batch.column("tag")
    first = pc.list_element(pc.split_pattern(tag, ","), 0)
    uploaded = pc.strptime(batch.column("upload_dt"), format="%Y-%m-%d", unit="us", error_is_null=True)
    return pa.table({
        "item_id": _whole(batch.column("video_id"), pa.int64()), "valid_from": pa.array([_FROM] * rows, STAMP),
        "author_id": _whole(batch.column("author_id"), pa.int64()), "category": first,
        "format": pa.array(["video"] * rows), "duration_s": duration, "publish_ts": uploaded.cast(STAMP),
        "quality_score": pa.nulls(rows, pa.float64()),
    })
