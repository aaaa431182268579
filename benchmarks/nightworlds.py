"""Conformed logs of many days for the nightly benchmark, as `ingest` would have left them in Delta.

A world holds two roots of the same events, keys and actions: `timely`, and `late`, where a twentieth of what lands on a
day happened one to three days before.
"""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.worldfiles import DAY_US, FIRST_DAY, SEED, START_US, known, made_once, to_table
from benchmarks.worlds import ENGAGEMENTS_PER_IMPRESSION, draw, engagements_of, zipf
from schemas.tables import TABLES

__all__ = ["NIGHT_WORLDS", "NightWorld", "night_world"]

_LATE_SHARE, _LATE_DAYS = 0.05, 3
_WORDS = {"scene": 3, "device": 2, "os": 2, "network": 2, "city": 50}


@dataclass(frozen=True)
class NightWorld:
    """Size of one world: `events` a day over `days` days; `longest` window in days; nights to look at, the first is 1."""

    days: int
    events: int
    users: int
    items: int
    longest: int
    early: int
    middle: int

    def day(self, night: int) -> date:
        """The day of a night."""
        return FIRST_DAY + timedelta(days=night - 1)


NIGHT_WORLDS = {
    "tiny": NightWorld(days=12, events=300, users=60, items=30, longest=9, early=4, middle=8),
    "small": NightWorld(days=40, events=5_000, users=4_000, items=1_000, longest=30, early=10, middle=30),
    "full": NightWorld(days=100, events=60_000, users=40_000, items=10_000, longest=90, early=10, middle=60),
}


def night_world(folder: Path, scale: str) -> Path:
    """Write the world of a scale, unless it is there; return its folder.

    Raises
    ------
    ConfigError
        No such scale.
    """
    size = known(NIGHT_WORLDS, scale)
    return made_once(folder / f"nightly-{scale}", asdict(size), lambda made: _write(made, size))


def _write(folder: Path, size: NightWorld) -> None:
    rng = np.random.default_rng(SEED)
    activity, popularity = rng.lognormal(0.0, 1.0, size.users), zipf(size.items)
    for number in range(size.days):
        impressions = _impressions(rng, size, number=number, activity=activity, popularity=popularity)
        day = {"impressions": impressions, "engagements": _engagements(rng, impressions, number=number)}
        for table, columns in day.items():
            _append(folder / "timely" / table, columns, number=number)
            _append(folder / "late" / table, columns | {"event_ts": _delayed(rng, columns, number)}, number=number)


def _impressions(
    rng: np.random.Generator, size: NightWorld, *, number: int, activity: np.ndarray, popularity: np.ndarray
) -> dict[str, np.ndarray]:
    """One day's, in order of event_ts."""
    count = round(size.events / (1 + ENGAGEMENTS_PER_IMPRESSION))
    event_ts = np.sort(START_US + number * DAY_US + rng.integers(0, DAY_US, count))
    columns: dict[str, np.ndarray] = {
        "impression_id": number * count + np.arange(1, count + 1),
        "request_id": number * count + np.arange(1, count + 1),
        "request_ts": event_ts,
        "user_id": draw(rng, activity, count),
        "item_id": draw(rng, popularity, count),
        "event_ts": event_ts,
        "arrival_ts": event_ts,
        "effective_arrival_ts": event_ts,
        "position": rng.integers(0, 10, count).astype(np.int32),
    }
    return columns | {name: rng.integers(0, words, count).astype(np.int8) for name, words in _WORDS.items()}


def _engagements(rng: np.random.Generator, impressions: dict[str, np.ndarray], *, number: int) -> dict[str, np.ndarray]:
    """Of the day's impressions; what would happen after midnight happens just before it, and lands with them."""
    columns = engagements_of(rng, impressions)
    last = START_US + (number + 1) * DAY_US - 1
    stamps = {name: np.minimum(columns["event_ts"], last) for name in ("event_ts", "arrival_ts")}
    return columns | stamps | {"effective_arrival_ts": stamps["arrival_ts"]}


def _delayed(rng: np.random.Generator, columns: dict[str, np.ndarray], number: int) -> np.ndarray:
    """event_ts, a twentieth of them one to three days earlier; the first days have no such past."""
    count = len(columns["event_ts"])
    late = (rng.random(count) < _LATE_SHARE) & (number >= _LATE_DAYS)
    return columns["event_ts"] - np.where(late, rng.integers(DAY_US, _LATE_DAYS * DAY_US, count), 0)


def _append(uri: Path, columns: dict[str, np.ndarray], *, number: int) -> None:
    schema = to_arrow_schema(TABLES[uri.name].schema)
    rows = to_table(columns)
    rows = rows.append_column("ds", pa.array([FIRST_DAY + timedelta(days=number)] * rows.num_rows, pa.date32()))
    typed = pa.table([rows.column(field.name).cast(field.type) for field in schema], schema=schema)
    write_deltalake(str(uri), typed, mode="append", partition_by=["ds"])
