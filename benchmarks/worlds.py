"""Seeded, made logs for the benchmarks, written once per scale and used again.

A feature world is three folders of Parquet: `impressions/ds=*/` (one row per impression_id), `engagements/ds=*/`
(one row per impression_id x action) and `spine/` (one row per sampled impression_id). Nothing arrives late.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from benchmarks.worldfiles import DAY_US, FIRST_DAY, SEED, START_US, known, made_once, to_table, write_days
from headrace.errors import ConfigError

__all__ = [
    "ENGAGEMENTS_PER_IMPRESSION",
    "FEATURE_WORLDS",
    "LANDING_ROWS",
    "FeatureWorld",
    "draw",
    "engagements_of",
    "feature_world",
    "landing_world",
    "zipf",
]

_HOUR_US = 3_600_000_000
_REQUEST_SIZE = 5  # impressions of one request: same user, same request_ts
_GROWTH = 2.0  # traffic density 1 + growth * t over the log, so that the last 8 of 38 days hold 29 % of it
_ACTION_RATES = {"click": 0.15, "like": 0.03, "collect": 0.02, "watch": 0.23}  # engagements per impression
ENGAGEMENTS_PER_IMPRESSION = sum(_ACTION_RATES.values())
_ACTION_DELAYS_S = {"click": 20.0, "like": 90.0, "collect": 120.0, "watch": 30.0}  # mean, exponential
_ZIPF = 1.2
_LANDING_DAYS, _BIG_DAY = 5, 3
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FeatureWorld:
    """Size of one world: impressions and engagements together are `events` (to within rounding).

    `hot_percent`: None has Zipf items; a number makes items as uneven as users instead, and gives one user and one item
    that part of the log each.
    """

    events: int
    users: int
    items: int
    spine: int
    days: int = 38
    spine_days: int = 8
    hot_percent: int | None = None

    def facts(self) -> dict[str, int]:
        """The numbers that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


FEATURE_WORLDS = {
    "tiny": FeatureWorld(events=3_000, users=150, items=60, spine=500),
    "small": FeatureWorld(events=300_000, users=10_000, items=5_000, spine=60_000),
    "full": FeatureWorld(events=10_000_000, users=200_000, items=50_000, spine=2_000_000),
}
LANDING_ROWS = {"tiny": 2_000, "small": 300_000, "full": 10_000_000}


def feature_world(folder: Path, scale: str, *, hot_percent: int | None = None) -> Path:
    """Write the feature world of a scale, unless it is there; return its folder.

    Parameters
    ----------
    hot_percent : see FeatureWorld

    Raises
    ------
    ConfigError
        No such scale, or its spine asks for more rows than its last days hold.
    """
    size = replace(known(FEATURE_WORLDS, scale), hot_percent=hot_percent)
    name = f"features-{scale}" if hot_percent is None else f"features-hot{hot_percent}-{scale}"
    return made_once(folder / name, size.facts(), lambda made: _write_features(made, size))


def landing_world(folder: Path, *, rows: int) -> Path:
    """Write a landing zone, unless it is there: a day of `rows` impressions, three days of a hundredth before, one after.

    `landing/impressions/ds=*/` holds one row per impression_id, `landing/engagements/ds=*/` one per impression_id x
    action; `day.json` names the big day (`ds`), the days before it (`before`) and after it (`after`).
    """
    return made_once(folder / f"landing-{rows}", {"rows": rows}, lambda made: _write_landing(made, rows))


def _write_features(folder: Path, size: FeatureWorld) -> None:
    rng = np.random.default_rng(SEED)
    impressions = _impressions(rng, size)
    first_spine_us = START_US + (size.days - size.spine_days) * DAY_US
    late = np.flatnonzero(impressions["event_ts"] >= first_spine_us)
    if len(late) < size.spine:
        raise ConfigError(
            "spine",
            found=f"{len(late)} impressions in the last {size.spine_days} days",
            wanted=f"at least {size.spine}",
            remedy="ask for fewer spine rows or more events",
        )
    write_days(folder / "impressions", impressions)
    chosen = np.sort(rng.choice(late, size.spine, replace=False))
    columns = ("impression_id", "request_id", "request_ts", "user_id", "item_id", "event_ts")
    (folder / "spine").mkdir()
    spine = {name: impressions[name][chosen] for name in columns}
    pq.write_table(to_table(spine), folder / "spine" / "part-0.parquet", compression="zstd")
    write_days(folder / "engagements", engagements_of(rng, impressions))


def _impressions(rng: np.random.Generator, size: FeatureWorld) -> dict[str, np.ndarray]:
    """Impressions in order of request_ts, each `position` a tenth of a second after the one above it."""
    requests = round(size.events / (1 + ENGAGEMENTS_PER_IMPRESSION) / _REQUEST_SIZE)
    uniform = rng.random(requests)
    # Inverse of the distribution function (t + g t^2 / 2) / (1 + g / 2) on [0, 1].
    share = (np.sqrt(1 + 2 * _GROWTH * uniform * (1 + _GROWTH / 2)) - 1) / _GROWTH
    request_ts = np.sort(START_US + (share * (size.days * DAY_US - _HOUR_US)).astype(np.int64))
    activity = rng.lognormal(0.0, 1.0, size.users)
    popularity = rng.lognormal(0.0, 1.0, size.items) if size.hot_percent is not None else zipf(size.items)
    count = requests * _REQUEST_SIZE
    position = np.tile(np.arange(_REQUEST_SIZE, dtype=np.int32), requests)
    columns: dict[str, np.ndarray] = {
        "impression_id": np.arange(1, count + 1),
        "request_id": np.repeat(np.arange(1, requests + 1), _REQUEST_SIZE),
        "request_ts": np.repeat(request_ts, _REQUEST_SIZE),
        "user_id": np.repeat(_warmed(rng, draw(rng, activity, requests), size), _REQUEST_SIZE),
        "item_id": _warmed(rng, rng.permutation(size.items)[draw(rng, popularity, count) - 1] + 1, size),
    }
    columns["event_ts"] = columns["request_ts"] + position.astype(np.int64) * 100_000
    return columns | {"effective_arrival_ts": columns["event_ts"], "position": position}


def zipf(count: int) -> npt.NDArray[np.float64]:
    """Weights of items by rank."""
    weights: npt.NDArray[np.float64] = np.arange(1, count + 1, dtype=np.float64) ** -_ZIPF
    return weights


def _warmed(rng: np.random.Generator, ids: _Ints, size: FeatureWorld) -> _Ints:
    """Id 1 in place of so many per cent of the ids."""
    if not size.hot_percent:
        return ids
    return np.where(rng.random(len(ids)) < size.hot_percent / 100, 1, ids)


def draw(rng: np.random.Generator, weights: npt.NDArray[np.float64], count: int) -> _Ints:
    """Ids 1..n with probability proportional to their weights."""
    edges = np.cumsum(weights)
    drawn = np.searchsorted(edges / edges[-1], rng.random(count), side="right") + 1
    return np.minimum(drawn, len(weights)).astype(np.int64)


def engagements_of(rng: np.random.Generator, impressions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """At most one engagement per impression and action, seconds after it, in order of event_ts."""
    count = len(impressions["impression_id"])
    parts: dict[str, list] = {"row": [], "event_ts": [], "action": [], "value": []}
    for action, rate in _ACTION_RATES.items():
        row = rng.choice(count, round(count * rate), replace=False)
        after_us = 1_000_000 + (rng.exponential(_ACTION_DELAYS_S[action], len(row)) * 1e6).astype(np.int64)
        value = np.round(rng.exponential(25.0, len(row)), 3) if action == "watch" else np.full(len(row), np.nan)
        parts["row"].append(row)
        parts["event_ts"].append(impressions["event_ts"][row] + after_us)
        parts["action"].append(np.full(len(row), list(_ACTION_RATES).index(action), np.int8))
        parts["value"].append(value)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    order = np.argsort(whole["event_ts"], kind="stable")
    row = whole.pop("row")[order]
    columns = {name: impressions[name][row] for name in ("impression_id", "user_id", "item_id")}
    columns |= {name: array[order] for name, array in whole.items()}
    return columns | {"effective_arrival_ts": columns["event_ts"], "is_first": np.ones(len(row), bool)}


def _write_landing(folder: Path, rows: int) -> None:
    """Columns as a log would have them: arrival a second after the event, nothing derived."""
    rng = np.random.default_rng(SEED)
    next_id = 1
    for day in range(_LANDING_DAYS):
        count = rows if day == _BIG_DAY else max(rows // 100, 1)
        impressions = _landing_impressions(rng, day=day, ids=np.arange(next_id, next_id + count), of=rows)
        engagements = engagements_of(rng, impressions)
        for name in ("effective_arrival_ts", "is_first"):
            engagements.pop(name)
        engagements["arrival_ts"] = engagements["event_ts"] + 1_000_000
        next_id += count
        write_days(folder / "landing" / "impressions", impressions)
        write_days(folder / "landing" / "engagements", engagements)
    days = [(FIRST_DAY + timedelta(days=day)).isoformat() for day in range(_LANDING_DAYS)]
    facts = {"ds": days[_BIG_DAY], "before": days[:_BIG_DAY], "after": days[_BIG_DAY + 1 :]}
    (folder / "day.json").write_text(json.dumps(facts))


def _landing_impressions(rng: np.random.Generator, *, day: int, ids: _Ints, of: int) -> dict[str, np.ndarray]:
    """One day's impressions, none in its last hour, so that their engagements land on the same day."""
    count = len(ids)
    event_ts = np.sort(START_US + day * DAY_US + rng.integers(0, DAY_US - _HOUR_US, count))
    columns: dict[str, np.ndarray] = {
        "impression_id": ids,
        "request_id": ids // _REQUEST_SIZE,
        "request_ts": event_ts,
        "user_id": rng.integers(1, max(of // 50, 2), count),
        "item_id": rng.integers(1, max(of // 200, 2), count),
        "event_ts": event_ts,
        "arrival_ts": event_ts + 1_000_000,
        "position": rng.integers(0, 10, count).astype(np.int32),
    }
    sizes = {"scene": 3, "device": 2, "os": 2, "network": 2, "city": 50}
    return columns | {name: rng.integers(0, size, count).astype(np.int8) for name, size in sizes.items()}
