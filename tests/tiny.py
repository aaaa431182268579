"""A tiny world made for edges: events on hours, at as_of and a microsecond beside, late, repeated, broken, out of order."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from headrace.days import day_start

ZONE = "Europe/Berlin"
HOUR, MICRO = timedelta(hours=1), timedelta(microseconds=1)
USERS, ITEMS = 7, 6


def write_day(landing: Path, table: str, day: date, frame: pd.DataFrame) -> None:
    """One Parquet file in the day's folder."""
    folder = landing / table / f"ds={day}"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / "part-0.parquet", index=False, coerce_timestamps="us", allow_truncated_timestamps=True)


def write_world(landing: Path, *, first: date, days: int, per_day: int = 60) -> None:
    """Landing files of some days with profiles that change; the clocks go forward on 2024-03-31."""
    rng = np.random.default_rng(11)
    made: dict[tuple[str, date], list[dict]] = {}
    for number in range(days):
        _day_rows(made, rng, first=first, day=first + timedelta(days=number), days=days, per_day=per_day)
    for number in range(days):
        day = first + timedelta(days=number)
        for table, columns in (("impressions", IMPRESSION), ("engagements", ENGAGEMENT)):
            rows = made.get((table, day), [])
            order = rng.permutation(len(rows))
            write_day(landing, table, day, frame_of([rows[i] for i in order], columns))
    _profiles(landing, first)


IMPRESSION = {
    "impression_id": "Int64",
    "request_id": "Int64",
    "request_ts": "ts",
    "user_id": "Int64",
    "item_id": "Int64",
    "event_ts": "ts",
    "arrival_ts": "ts",
    "position": "Int32",
    "scene": "string",
    "device": "string",
}
ENGAGEMENT = {
    "impression_id": "Int64",
    "user_id": "Int64",
    "item_id": "Int64",
    "action": "string",
    "value": "float64",
    "event_ts": "ts",
    "arrival_ts": "ts",
}
USER = {
    "user_id": "Int64",
    "valid_from": "ts",
    "valid_to": "ts",
    "gender": "string",
    "age": "Int32",
    "age_band": "string",
    "registered_ts": "ts",
}
ITEM = {
    "item_id": "Int64",
    "valid_from": "ts",
    "valid_to": "ts",
    "author_id": "Int64",
    "category": "string",
    "format": "string",
    "duration_s": "float64",
    "publish_ts": "ts",
    "quality_score": "float64",
}


def frame_of(rows: list[dict], columns: dict[str, str]) -> pd.DataFrame:
    """Rows with the column types of a landing file; absent values are null."""
    made = {}
    for name, kind in columns.items():
        values = [row.get(name) for row in rows]
        made[name] = pd.Series(
            pd.to_datetime(values, utc=True) if kind == "ts" else values,
            dtype="datetime64[us, UTC]" if kind == "ts" else kind,
        )
    return pd.DataFrame(made)


def _day_rows(made: dict, rng: np.random.Generator, *, first: date, day: date, days: int, per_day: int) -> None:
    start, length = day_start(day, ZONE), day_start(day + timedelta(days=1), ZONE) - day_start(day, ZONE)
    last = first + timedelta(days=days - 1)

    def land(table: str, row: dict) -> None:
        """In the folder of the day of its arrival."""
        landed = row.pop("landed", None) or max(row.get("arrival_ts") or row["event_ts"], row["event_ts"])
        ds = day
        while ds < last and day_start(ds + timedelta(days=1), ZONE) <= landed:
            ds += timedelta(days=1)
        made.setdefault((table, ds), []).append(row)

    for n in range(per_day):
        moment = start + timedelta(microseconds=int(rng.integers(0, length // MICRO)))
        kind = n % 6
        if kind == 1:  # on an hour, or a microsecond beside it: at as_of and at as_of - w of others
            moment = moment.replace(minute=0, second=0, microsecond=0) + int(rng.integers(-1, 2)) * MICRO
            moment = max(moment, start)
        late = [timedelta(seconds=int(rng.integers(0, 90))), HOUR, 26 * HOUR, timedelta(days=2)][
            int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))
        ]
        shown = {
            "impression_id": (day - date(2024, 1, 1)).days * 1000 + n,
            "request_id": (day - date(2024, 1, 1)).days * 1000 + n // 4,
            "request_ts": None if kind == 2 else moment - timedelta(milliseconds=int(rng.integers(0, 1500))),
            "user_id": int(rng.integers(0, USERS)) or None if n % 29 == 28 else int(rng.integers(1, USERS)),
            "item_id": int(min(rng.zipf(1.5), ITEMS)),
            "event_ts": moment,
            "arrival_ts": None if kind == 3 else moment + late,
            "position": n % 8,
            "scene": [None, "feed", "search"][int(rng.choice(3, p=[0.1, 0.6, 0.3]))],
            "device": "phone",
        }
        land("impressions", dict(shown))
        _engage(land, rng, shown, moment)
        if n % 13 == 5:  # the same row again, later; sometimes it contradicts
            land("impressions", shown | {"arrival_ts": moment + late + timedelta(hours=30), "position": (n % 2) * 99})


def _engage(land, rng: np.random.Generator, shown: dict, moment: datetime) -> None:
    if rng.random() > 0.45:
        return
    base = {k: shown[k] for k in ("impression_id", "user_id", "item_id")}
    lag = [timedelta(seconds=5), HOUR, timedelta(0), 20 * HOUR][int(rng.choice(4, p=[0.7, 0.1, 0.1, 0.1]))]
    late = [timedelta(0), HOUR, 25 * HOUR][int(rng.choice(3, p=[0.7, 0.2, 0.1]))]

    def event(action: str, at: datetime, value: float | None = None, **more: object) -> None:
        land("engagements", {**base, "action": action, "value": value, "event_ts": at, "arrival_ts": at + late, **more})

    event("click", moment + lag)
    if rng.random() < 0.3:
        event("click", moment + lag + timedelta(minutes=3))
    if rng.random() < 0.6:
        event("watch", moment + lag, float(rng.gamma(2.0, 9.0)))
    if rng.random() < 0.4:
        event("like", moment + lag + MICRO)
    if rng.random() < 0.1:
        event("click", moment - timedelta(seconds=2))
    if rng.random() < 0.1:
        event("share", moment, impression_id=None)
    if rng.random() < 0.1:
        event("watch", moment, [-1.0, float("nan"), float("inf"), None][int(rng.integers(0, 4))])
    if rng.random() < 0.1:
        event("teleport", moment)
    if rng.random() < 0.15:
        event("click", moment + lag, impression_id=base["impression_id"])


def _profiles(landing: Path, first: date) -> None:
    early = datetime(2024, 1, 1, tzinfo=UTC)
    users = [
        {
            "user_id": u,
            "valid_from": early,
            "gender": ["f", "m", None][u % 3],
            "age": 20 + u,
            "age_band": "20s",
            "registered_ts": early,
        }
        for u in range(1, USERS - 1)
    ]
    items = [
        {
            "item_id": i,
            "valid_from": early,
            "author_id": [10, 11, None][i % 3],
            "category": ["a", "b", "", None][i % 4],
            "format": "video" if i % 2 else "note",
            "duration_s": 30.0 if i % 2 else None,
            "publish_ts": early,
            "quality_score": float("nan") if i == 3 else i / 10,
        }
        for i in range(1, ITEMS)
    ]
    write_day(landing, "user_profile", first, frame_of(users, USER))
    write_day(landing, "item_profile", first, frame_of(items, ITEM))
    second, third = first + timedelta(days=1), first + timedelta(days=2)
    at = day_start(second, ZONE) + 10 * HOUR
    write_day(
        landing,
        "user_profile",
        second,
        frame_of(
            [
                {**users[0], "valid_from": at, "gender": "m"},  # a change in the middle of the day it lands
                {**users[1], "valid_to": at},  # sets valid_to: a gap from there on, known from the start of this day
                {**users[2], "gender": "x"},  # a repeat that contradicts: the first stands
            ],
            USER,
        ),
    )
    write_day(
        landing,
        "item_profile",
        third,
        frame_of(
            [
                {**items[0], "valid_from": at, "category": "b", "author_id": 11},  # lands a day late
                {
                    **items[1],
                    "valid_from": at + HOUR,
                    "valid_to": at + 9 * HOUR,
                    "category": "c",
                },  # ends: the older one holds again
                {**items[2], "valid_from": at, "valid_to": at},  # an empty version: refused
            ],
            ITEM,
        ),
    )
