"""Seeded, made logs for the benchmarks, written once per scale and used again.

A feature world is three folders of Parquet: `impressions/ds=*/` (one row per impression_id), `engagements/ds=*/`
(one row per impression_id x action) and `spine/` (one row per sampled impression_id). Nothing arrives late.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.errors import ConfigError

__all__ = [
    "FEATURE_WORLDS",
    "LANDING_ROWS",
    "FeatureWorld",
    "feature_world",
    "landing_world",
    "work_folder",
]

_SEED = 20260501
_FIRST_DAY = date(2026, 5, 1)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_START_US = (_FIRST_DAY - date(1970, 1, 1)).days * _DAY_US
_REQUEST_SIZE = 5  # impressions of one request: same user, same request_ts
_GROWTH = 2.0  # traffic density 1 + growth * t over the log, so that the last 8 of 38 days hold 29 % of it
_ACTION_RATES = {"click": 0.15, "like": 0.03, "collect": 0.02, "watch": 0.23}  # engagements per impression
_ACTION_DELAYS_S = {"click": 20.0, "like": 90.0, "collect": 120.0, "watch": 30.0}  # mean, exponential
_ZIPF = 1.2
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FeatureWorld:
    """Size of one world: impressions and engagements together are `events` (to within rounding)."""

    events: int
    users: int
    items: int
    spine: int
    days: int = 38
    spine_days: int = 8


FEATURE_WORLDS = {
    "tiny": FeatureWorld(events=3_000, users=150, items=60, spine=500),
    "small": FeatureWorld(events=300_000, users=10_000, items=5_000, spine=60_000),
    "full": FeatureWorld(events=10_000_000, users=200_000, items=50_000, spine=2_000_000),
}
LANDING_ROWS = {"tiny": 2_000, "small": 300_000, "full": 10_000_000}


def work_folder(given: Path | None) -> Path:
    """The folder for worlds and outputs: the given one, else one under the system's temporary folder."""
    folder = given or Path(tempfile.gettempdir()) / "headrace-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def feature_world(folder: Path, scale: str) -> Path:
    """Write the feature world of a scale, unless it is there; return its folder.

    Raises
    ------
    ConfigError
        No such scale, or its spine asks for more rows than its last days hold.
    """
    size = _known(FEATURE_WORLDS, scale)
    return _once(folder / f"features-{scale}", asdict(size), lambda made: _write_features(made, size))


def landing_world(folder: Path, scale: str, *, rows: int | None = None) -> Path:
    """Write a landing zone, unless it is there: one big day of impressions after three days of a hundredth each.

    `landing/impressions/ds=*/` holds one row per impression_id, `day.json` names the big day.

    Raises
    ------
    ConfigError
        No such scale.
    """
    count = rows or _known(LANDING_ROWS, scale)
    return _once(folder / f"landing-{count}", {"rows": count}, lambda made: _write_landing(made, count))


def _known(scales: dict, scale: str):  # type: ignore[no-untyped-def]
    if scale not in scales:
        raise ConfigError("--scale", found=scale, wanted=" or ".join(scales), remedy="name one of these")
    return scales[scale]


def _once(target: Path, facts: dict, write) -> Path:  # type: ignore[no-untyped-def]
    """Make a folder by way of a temporary one, so that a world half written is never used; facts that changed remake it."""
    facts = facts | {"seed": _SEED, "version": 1}
    marker = target / "world.json"
    if marker.exists() and json.loads(marker.read_text()) == facts:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        write(making)
        (making / "world.json").write_text(json.dumps(facts))
        shutil.rmtree(target, ignore_errors=True)
        making.rename(target)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return target


def _write_features(folder: Path, size: FeatureWorld) -> None:
    rng = np.random.default_rng(_SEED)
    impressions = _impressions(rng, size)
    first_spine_us = _START_US + (size.days - size.spine_days) * _DAY_US
    late = np.flatnonzero(impressions["event_ts"] >= first_spine_us)
    if len(late) < size.spine:
        raise ConfigError(
            "spine",
            found=f"{len(late)} impressions in the last {size.spine_days} days",
            wanted=f"at least {size.spine}",
            remedy="ask for fewer spine rows or more events",
        )
    _write_days(folder / "impressions", impressions)
    chosen = np.sort(rng.choice(late, size.spine, replace=False))
    columns = ("impression_id", "request_id", "request_ts", "user_id", "item_id", "event_ts")
    (folder / "spine").mkdir()
    spine = {name: impressions[name][chosen] for name in columns}
    pq.write_table(_table(spine), folder / "spine" / "part-0.parquet", compression="zstd")
    _write_days(folder / "engagements", _engagements(rng, impressions))


def _impressions(rng: np.random.Generator, size: FeatureWorld) -> dict[str, np.ndarray]:
    """Impressions in order of request_ts, each `position` a tenth of a second after the one above it."""
    requests = round(size.events / (1 + sum(_ACTION_RATES.values())) / _REQUEST_SIZE)
    uniform = rng.random(requests)
    # Inverse of the distribution function (t + g t^2 / 2) / (1 + g / 2) on [0, 1].
    share = (np.sqrt(1 + 2 * _GROWTH * uniform * (1 + _GROWTH / 2)) - 1) / _GROWTH
    request_ts = np.sort(_START_US + (share * (size.days * _DAY_US - _HOUR_US)).astype(np.int64))
    activity = rng.lognormal(0.0, 1.0, size.users)
    popularity = np.arange(1, size.items + 1, dtype=np.float64) ** -_ZIPF
    count = requests * _REQUEST_SIZE
    position = np.tile(np.arange(_REQUEST_SIZE, dtype=np.int32), requests)
    columns: dict[str, np.ndarray] = {
        "impression_id": np.arange(1, count + 1),
        "request_id": np.repeat(np.arange(1, requests + 1), _REQUEST_SIZE),
        "request_ts": np.repeat(request_ts, _REQUEST_SIZE),
        "user_id": np.repeat(_draw(rng, activity, requests), _REQUEST_SIZE),
        "item_id": rng.permutation(size.items)[_draw(rng, popularity, count) - 1] + 1,
    }
    columns["event_ts"] = columns["request_ts"] + position.astype(np.int64) * 100_000
    return columns | {"effective_arrival_ts": columns["event_ts"], "position": position}


def _draw(rng: np.random.Generator, weights: npt.NDArray[np.float64], count: int) -> _Ints:
    """Ids 1..n with probability proportional to their weights."""
    edges = np.cumsum(weights)
    drawn = np.searchsorted(edges / edges[-1], rng.random(count), side="right") + 1
    return np.minimum(drawn, len(weights)).astype(np.int64)


def _engagements(rng: np.random.Generator, impressions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
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
    """Landing columns as a log would have them: no effective arrival; arrival a second after the event."""
    rng = np.random.default_rng(_SEED)
    next_id = 1
    for day in range(4):
        count = rows if day == 3 else max(rows // 100, 1)
        event_ts = np.sort(_START_US + day * _DAY_US + rng.integers(0, _DAY_US - 2_000_000, count))
        columns: dict[str, np.ndarray] = {
            "impression_id": np.arange(next_id, next_id + count),
            "request_id": np.arange(next_id, next_id + count) // _REQUEST_SIZE,
            "request_ts": event_ts,
            "user_id": rng.integers(1, max(rows // 50, 2), count),
            "item_id": rng.integers(1, max(rows // 200, 2), count),
            "event_ts": event_ts,
            "arrival_ts": event_ts + 1_000_000,
            "position": rng.integers(0, 10, count).astype(np.int32),
        }
        columns |= {name: rng.integers(0, len(_WORDS[name]), count).astype(np.int8) for name in _WORDS}
        next_id += count
        _write_days(folder / "landing" / "impressions", columns)
    (folder / "day.json").write_text(json.dumps({"ds": (_FIRST_DAY + timedelta(days=3)).isoformat()}))


_WORDS = {  # columns held as an index into these words
    "action": list(_ACTION_RATES),
    "scene": ["feed", "search", "follow"],
    "device": ["phone", "tablet"],
    "os": ["android", "ios"],
    "network": ["wifi", "cell"],
    "city": [f"city_{n}" for n in range(50)],
}


def _table(columns: dict[str, np.ndarray]) -> pa.Table:
    """Times become UTC microseconds, indices into words become text, NaN becomes null."""
    arrays = {}
    for name, values in columns.items():
        if name.endswith("_ts"):
            arrays[name] = pa.array(values, pa.timestamp("us", "UTC"))
        elif name in _WORDS:
            words = pa.array(_WORDS[name], pa.string())
            arrays[name] = pa.DictionaryArray.from_arrays(pa.array(values), words).dictionary_decode()
        else:
            arrays[name] = pa.array(values, from_pandas=True)
    return pa.table(arrays)


def _write_days(folder: Path, columns: dict[str, np.ndarray]) -> None:
    """One file per day of event_ts; the rows must be in order of day."""
    for day, part in _days(columns):
        target = folder / f"ds={_FIRST_DAY + timedelta(days=day)}"
        target.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(part), target / "part-0.parquet", compression="zstd")


def _days(columns: dict[str, np.ndarray]) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    day = (columns["event_ts"] - _START_US) // _DAY_US
    for value in np.unique(day):
        rows = slice(*np.searchsorted(day, [value, value + 1]))
        yield int(value), {name: array[rows] for name, array in columns.items()}
