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

_PROFILE = [("valid_from", TS), ("valid_to", TS)]

SCHEMAS: dict[str, pa.Schema] = {
    "impressions": pa.schema(
        [("impression_id", pa.int64()), ("request_id", pa.int64()), ("request_ts", TS)]
        + [("user_id", pa.int64()), ("item_id", pa.int64()), ("event_ts", TS), ("arrival_ts", TS)]
        + [("position", pa.int32())]
        + [(name, pa.string()) for name in ("scene", "device", "os", "network", "city")]
    ),
    "engagements": pa.schema(
        [("impression_id", pa.int64()), ("user_id", pa.int64()), ("item_id", pa.int64()), ("action", pa.string())]
        + [("value", pa.float64()), ("event_ts", TS), ("arrival_ts", TS)]
    ),
    "user_profile": pa.schema(
        [("user_id", pa.int64()), *_PROFILE, ("gender", pa.string()), ("age", pa.int32()), ("age_band", pa.string())]
        + [("registered_ts", TS)]
    ),
    "item_profile": pa.schema(
        [("item_id", pa.int64()), *_PROFILE, ("author_id", pa.int64()), ("category", pa.string())]
        + [("format", pa.string()), ("duration_s", pa.float64()), ("publish_ts", TS), ("quality_score", pa.float64())]
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
