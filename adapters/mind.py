"""MIND (Microsoft News): impression lists with clicks, and news metadata. String ids stay strings; ingest hashes them.

Source: behaviors.tsv (impression id, user, time, history, impressions) and news.tsv, as in the MIND-small download.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from adapters.landing import STAMP, Landing, require
from adapters.said import Said, feature_groups

__all__ = ["adapt_mind"]

_CHUNK_LINES = 20_000
_ALWAYS = datetime(2019, 1, 1, tzinfo=UTC)
_IMPRESSIONS = pa.schema([
    ("impression_id", pa.string()), ("request_id", pa.string()), ("user_id", pa.string()), ("item_id", pa.string()),
    ("event_ts", STAMP), ("position", pa.int32()),
])
_ENGAGEMENTS = pa.schema([
    ("impression_id", pa.string()), ("user_id", pa.string()), ("item_id", pa.string()), ("action", pa.string()),
    ("event_ts", STAMP),
])
_ITEMS = pa.schema([
    ("item_id", pa.string()), ("valid_from", STAMP), ("author_id", pa.int64()), ("category", pa.string()),
    ("format", pa.string()), ("duration_s", pa.float64()), ("publish_ts", STAMP), ("quality_score", pa.float64()),
    ("subcategory", pa.string()),
])


def adapt_mind(source: Path, landing: Landing) -> Said:
    """Write impressions, clicks and item profiles; 20,000 lines in memory at a time."""
    behaviors, news = require(source, "behaviors.tsv", "news.tsv")
    said = Said(dropped={})
    dropped: Counter[str] = Counter()
    known, rows = _items(news, dropped)
    shown: Counter[str] = Counter()
    for lines in _chunks(behaviors):
        impressions, clicks = _parse(lines, dropped)
        shown.update(row["item_id"] for row in impressions)
        landing.write_by_day("impressions", pa.Table.from_pylist(impressions, _IMPRESSIONS), moment="event_ts")
        landing.write_by_day("engagements", pa.Table.from_pylist(clicks, _ENGAGEMENTS), moment="event_ts")
    for day in sorted(landing.days):
        _fill_empty(landing, day)
    first = min(landing.days, default=date(2019, 11, 9))
    landing.write("item_profile", first, pa.Table.from_pylist(rows, _ITEMS))
    said.dropped = dict(dropped)
    listed, described = shown.total(), sum(times for item, times in shown.items() if item in known)
    share = described / listed if listed else 0.0
    said.missing = [
        f"item metadata covers {share:.1%} of the {listed:,} items shown ({len(shown.keys() & known):,} of {len(shown):,} "
        "distinct ones); the others have no profile",
        "times have no timezone: they are read as UTC",
        "a click has no time of its own: it is given its impression's",
        "no arrival times: every row counts as arrived when it happened",
        "no likes, collects, shares, watch time, devices, scenes, users' profiles, authors or publication times",
        "the news a user clicked before (history) has no times: it makes no events",
        "news versions have no dates: valid from 2019-01-01, a date of ours, not of the source",
        "the order within an impression list is taken as position; MIND shuffled it",
    ]
    said.config = _config()
    said.features = feature_groups({
        "user": {"entity": "user", "windows": ["1h", "1d", "7d"], "count": ["impression", "click"], "rate_smoothed": {"click": 10}, "recency": ["click"]},
        "item": {"entity": "item", "windows": ["1h", "1d", "7d"], "count": ["impression", "click"], "rate_smoothed": {"click": 20}, "recency": ["impression"]},
        "user_by_category": {"entity": "user", "segment": "item.category", "windows": ["7d"], "count": ["click"], "rate_smoothed": {"click": 10}},
    })
    return said


def _config() -> dict[str, Any]:
    return {
        "timezone": "UTC", "profiles": {"item": {"columns": {"subcategory": "string"}}}, "coverage": {"slices": ["item_category"]},
        "labels": {"windows": {"click": "1h"}}, "sampling": {"negative_rate": 0.1},
    }


def _fill_empty(landing: Landing, day: date) -> None:
    """A day with impressions and no click gets an empty file: nothing happened is not the same as nothing landed."""
    for table, schema in (("impressions", _IMPRESSIONS), ("engagements", _ENGAGEMENTS)):
        landing.write(table, day, schema.empty_table())


def _chunks(path: Path) -> Iterator[list[str]]:
    lines: list[str] = []
    with path.open(encoding="utf-8") as source:
        for line in source:
            lines.append(line.rstrip("\n"))
            if len(lines) == _CHUNK_LINES:
                yield lines
                lines = []
    if lines:
        yield lines


def _parse(lines: list[str], dropped: Counter[str]) -> tuple[list[dict], list[dict]]:
    impressions, clicks = [], []
    for line in lines:
        parts = line.split("\t")
        if len(parts) != 5:
            dropped["behaviors lines without 5 columns"] += 1
            continue
        request, user, time, _history, listed = parts
        try:
            moment = datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p").replace(tzinfo=UTC)
        except ValueError:
            dropped["behaviors lines with an unreadable time"] += 1
            continue
        for position, shown in enumerate(listed.split()):
            item, dash, clicked = shown.rpartition("-")
            if not dash or clicked not in ("0", "1"):
                dropped["shown items without -0 or -1"] += 1
                continue
            row = {"impression_id": f"{request}-{position}", "user_id": user, "item_id": item, "event_ts": moment}
            impressions.append({**row, "request_id": request, "position": position})
            if clicked == "1":
                clicks.append({**row, "action": "click"})
    return impressions, clicks


def _items(path: Path, dropped: Counter[str]) -> tuple[set[str], list[dict]]:
    rows: dict[str, dict] = {}
    for lines in _chunks(path):
        for line in lines:
            parts = line.split("\t")
            if len(parts) < 3 or not parts[0]:
                dropped["news lines without id and category"] += 1
                continue
            if parts[0] in rows:
                dropped["news lines that repeat an id"] += 1
                continue
            rows[parts[0]] = {
                "item_id": parts[0], "valid_from": _ALWAYS, "category": parts[1] or None, "subcategory": parts[2] or None,
                "format": "note",
            }
    return set(rows), list(rows.values())
