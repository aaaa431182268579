"""Globo.com clicks: 2,988,181 real clicks without impressions. Streamed by row batch; memory is one batch.

Source: clicks.parquet with user_id, session_id, click_article_id, click_timestamp (milliseconds UTC), ...
"""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups
from headrace.days import day_range
from headrace.errors import InputError

__all__ = ["adapt_globo"]

_WANTED = ["user_id", "click_article_id", "click_timestamp"]
_IMPRESSIONS = pa.schema([("impression_id", pa.int64()), ("user_id", pa.int64()), ("item_id", pa.int64()), ("event_ts", STAMP)])
_ENGAGEMENTS = pa.schema([
    ("impression_id", pa.int64()), ("user_id", pa.int64()), ("item_id", pa.int64()), ("action", pa.string()), ("event_ts", STAMP)
])


def adapt_globo(source: Path, landing: Landing) -> Said:
    """Write clicks as engagements without impression, and empty days of impressions so that the chain has its days."""
    (path,) = require(source, "clicks.parquet")
    file = pq.ParquetFile(path)
    lacking = [c for c in _WANTED if c not in file.schema_arrow.names]
    if lacking:
        raise InputError(str(path), found=f"no columns {lacking}", wanted=f"{_WANTED}", remedy="check the file")
    for batch in file.iter_batches(batch_size=262_144, columns=_WANTED):
        rows = pa.table(batch)
        moment = rows.column("click_timestamp").cast(pa.timestamp("ms", tz="UTC")).cast(STAMP)
        clicks = pa.table({
            "impression_id": pa.nulls(rows.num_rows, pa.int64()), "user_id": rows.column("user_id"),
            "item_id": rows.column("click_article_id"), "action": pa.array(["click"] * rows.num_rows), "event_ts": moment,
        }, schema=_ENGAGEMENTS)
        landing.write_by_day("engagements", clicks, moment="event_ts")
    if landing.days:
        for day in day_range(min(landing.days), max(landing.days)):
            _empty_day(landing, day)
    said = Said()
    said.missing = [
        "no impressions: statistics can be built, labels and a training set cannot; every day's impressions are an empty file",
        "no arrival times: every click counts as arrived when it happened",
        "no article metadata and no user profiles",
        "sessions, environment, device group, os, country, region and referrer of a click have no column in engagements and are left out",
        "99 % of the clicks fall within 2017-10-01 .. 16; the days after it, to 2017-11-13, are nearly empty in the source",
        "dwell time is not a column of the source; the time to the next click is not turned into watch events",
    ]
    said.config = {"timezone": "UTC", "coverage": {"slices": []}}
    said.features = feature_groups({
        "user": {"entity": "user", "windows": ["1h", "1d", "7d"], "count": ["click"], "recency": ["click"]},
        "item": {"entity": "item", "windows": ["1h", "1d", "7d"], "count": ["click"], "recency": ["click"]},
    })
    return said


def _empty_day(landing: Landing, day: date) -> None:
    landing.write("impressions", day, _IMPRESSIONS.empty_table())
    landing.write("engagements", day, _ENGAGEMENTS.empty_table())
