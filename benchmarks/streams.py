"""Feature worlds of any size, made day by day, so that no more than a day is ever held.

One row per impression_id, and per impression_id x action, as in benchmarks/worlds.py; with the size grow users, items and
spine, so that a key has as many events in a large world as in a small one.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.worldfiles import DAY_US, SEED, START_US, made_once, to_table, write_days
from benchmarks.worlds import ENGAGEMENTS_PER_IMPRESSION, draw, engagements_of, zipf

__all__ = ["STREAM_DAYS", "stream_world"]

STREAM_DAYS, _SPINE_DAYS = 38, 8
_REQUEST_SIZE = 5
_LAST_US = 3_600_000_000  # no impression in the last hour of a day: its engagements are of the same day
_EVENTS_PER_USER, _EVENTS_PER_ITEM, _EVENTS_PER_SPINE_ROW = 50, 200, 8
_SPINE_COLUMNS = ("impression_id", "request_id", "request_ts", "user_id", "item_id", "event_ts")


def stream_world(folder: Path, *, events: int) -> Path:
    """Write a world of so many events (to within rounding), unless it is there; return its folder."""
    facts = {"events": events, "days": STREAM_DAYS}
    return made_once(folder / f"stream-{events}", facts, lambda made: _write(made, events))


def _write(folder: Path, events: int) -> None:
    rng = np.random.default_rng(SEED)
    (folder / "spine").mkdir()
    for day, impressions in _days(rng, events):
        write_days(folder / "impressions", impressions)
        write_days(folder / "engagements", engagements_of(rng, impressions))
        if day >= STREAM_DAYS - _SPINE_DAYS:
            asked = min(round(events / _EVENTS_PER_SPINE_ROW / _SPINE_DAYS), len(impressions["impression_id"]))
            chosen = np.sort(rng.choice(len(impressions["impression_id"]), asked, replace=False))
            spine = to_table({name: impressions[name][chosen] for name in _SPINE_COLUMNS})
            pq.write_table(spine, folder / "spine" / f"part-{day}.parquet", compression="zstd")


def _days(rng: np.random.Generator, events: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Number and impressions of each day, in order of request_ts."""
    users, items = max(events // _EVENTS_PER_USER, 10), max(events // _EVENTS_PER_ITEM, 10)
    activity, popularity, names = rng.lognormal(0.0, 1.0, users), zipf(items), rng.permutation(items) + 1
    requests = round(events / (1 + ENGAGEMENTS_PER_IMPRESSION) / _REQUEST_SIZE / STREAM_DAYS)
    count = requests * _REQUEST_SIZE
    position = np.tile(np.arange(_REQUEST_SIZE, dtype=np.int32), requests)
    for day in range(STREAM_DAYS):
        request_ts = np.sort(START_US + day * DAY_US + rng.integers(0, DAY_US - _LAST_US, requests))
        columns: dict[str, np.ndarray] = {
            "impression_id": day * count + np.arange(1, count + 1),
            "request_id": day * requests + np.repeat(np.arange(1, requests + 1), _REQUEST_SIZE),
            "request_ts": np.repeat(request_ts, _REQUEST_SIZE),
            "user_id": np.repeat(draw(rng, activity, requests), _REQUEST_SIZE),
            "item_id": names[draw(rng, popularity, count) - 1],
        }
        columns["event_ts"] = columns["request_ts"] + position.astype(np.int64) * 100_000
        yield day, columns | {"effective_arrival_ts": columns["event_ts"], "position": position}
