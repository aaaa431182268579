"""Columns of the landing and truth files, the words they use, and the kinds of planted rows."""

import pyarrow as pa

__all__ = [
    "ACTIONS",
    "AGE_BANDS",
    "AGE_EDGES",
    "CITIES",
    "DEVICES",
    "DUPLICATES",
    "FORMATS",
    "GENDERS",
    "ID_PREFIX",
    "MALFORMED",
    "NETWORKS",
    "OSES",
    "PROFILES",
    "SCENES",
    "SCHEMAS",
    "TAGS",
    "TRUTH",
    "words",
]

TS = pa.timestamp("us", "UTC")

SCENES = ("feed", "follow", "search", "detail")
DEVICES = ("phone", "tablet", "desktop")
OSES = ("android", "ios", "web")
NETWORKS = ("wifi", "5g", "4g")
CITIES = tuple(f"city_{n:02d}" for n in range(20))
GENDERS = ("f", "m")
AGE_EDGES = (18, 25, 35, 50)  # years: lower edges of the bands after the first
AGE_BANDS = ("<18", "18-24", "25-34", "35-49", "50+")
FORMATS = ("note", "video")
ACTIONS = ("click", "like", "collect", "share", "watch")

ID_PREFIX = {
    "impression_id": "impression",
    "request_id": "request",
    "user_id": "user",
    "item_id": "item",
    "author_id": "author",
}

_TYPES = {"bigint": pa.int64(), "int": pa.int32(), "double": pa.float64(), "string": pa.string(), "timestamp": TS}


def _schema(columns: str) -> pa.Schema:
    """Schema from "name type, name type"."""
    return pa.schema([(name, _TYPES[kind]) for name, kind in (column.split() for column in columns.split(","))])


SCHEMAS: dict[str, pa.Schema] = {
    "impressions": _schema(
        "impression_id bigint, request_id bigint, request_ts timestamp, user_id bigint, item_id bigint, "
        "event_ts timestamp, arrival_ts timestamp, position int, scene string, device string, os string, "
        "network string, city string"
    ),
    "engagements": _schema(
        "impression_id bigint, user_id bigint, item_id bigint, action string, value double, event_ts timestamp, "
        "arrival_ts timestamp"
    ),
    "user_profile": _schema(
        "user_id bigint, valid_from timestamp, valid_to timestamp, gender string, age int, age_band string, "
        "registered_ts timestamp"
    ),
    "item_profile": _schema(
        "item_id bigint, valid_from timestamp, valid_to timestamp, author_id bigint, category string, format string, "
        "duration_s double, publish_ts timestamp, quality_score double"
    ),
}

PROFILES = ("user_profile", "item_profile")

TRUTH = pa.schema(
    [(name, pa.int64()) for name in ("impression_id", "user_id", "item_id")]
    + [("event_ts", TS)]
    + [(name, pa.float64()) for name in ("p_click", "p_like", "p_collect", "p_share", "expected_watch_s")]
    + [(name, pa.bool_()) for name in ("clicked", "liked", "collected", "shared")]
    + [("watch_s", pa.float64())]
)

DUPLICATES = ("exact", "rearrived", "conflicting")
MALFORMED: dict[str, tuple[str, ...]] = {
    "impressions": ("null_user_id", "null_item_id", "null_event_ts", "ancient_event_ts", "future_event_ts"),
    "engagements": (
        "null_user_id",
        "null_event_ts",
        "ancient_event_ts",
        "future_event_ts",
        "unknown_action",
        "negative_watch",
        "nan_watch",
    ),
    "user_profile": ("null_key", "null_valid_from", "valid_to_before_valid_from"),
    "item_profile": ("null_key", "null_valid_from", "valid_to_before_valid_from"),
}
# What a row is, as a number in the internal column _tag; it never reaches a file.
TAGS = ("good", "late", "closing", *DUPLICATES, *dict.fromkeys(r for reasons in MALFORMED.values() for r in reasons))


def words(codes: object, labels: tuple[str, ...]) -> pa.Array:
    """Text column from int codes into `labels`; a code of -1 is null."""
    import numpy as np

    indices = np.asarray(codes, dtype=np.int32)
    keys = pa.array(indices, mask=indices < 0)
    return pa.DictionaryArray.from_arrays(keys, pa.array(labels, pa.string())).cast(pa.string())
