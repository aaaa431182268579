"""One day of conformed impressions, what followed them, and item profiles: what labels and samples are made of."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.worldfiles import DAY_US, FIRST_DAY, SEED, START_US, known, made_once, to_table
from benchmarks.worlds import draw, engagements_of, zipf
from headrace.config import load_config
from schemas.tables import table

__all__ = ["LABEL_WORLDS", "LabelWorld", "label_world"]

_CHUNK = 2_000_000  # rows made at a time


@dataclass(frozen=True)
class LabelWorld:
    """Size of one world; engagements are 0.43 an impression."""

    impressions: int
    users: int
    items: int


LABEL_WORLDS = {
    "tiny": LabelWorld(impressions=2_000, users=100, items=50),
    "small": LabelWorld(impressions=300_000, users=20_000, items=5_000),
    "full": LabelWorld(impressions=7_000_000, users=200_000, items=50_000),
}


def label_world(folder: Path, scale: str) -> Path:
    """Write the world of a scale, unless it is there; return its folder: Delta tables as `ingest` would leave them.

    Raises
    ------
    ConfigError
        No such scale.
    """
    size = known(LABEL_WORLDS, scale)
    return made_once(folder / f"labels-{scale}", asdict(size), lambda made: _write(made, size))


def _write(folder: Path, size: LabelWorld) -> None:
    rng = np.random.default_rng(SEED)
    _append(folder / "item_profile", _items(rng, size))
    activity, popularity = rng.lognormal(0.0, 1.0, size.users), zipf(size.items)
    for start in range(0, size.impressions, _CHUNK):
        count = min(_CHUNK, size.impressions - start)
        event_ts = np.sort(START_US + rng.integers(0, DAY_US, count))
        impressions: dict[str, np.ndarray] = {
            "impression_id": start + np.arange(1, count + 1),
            "request_id": (start + np.arange(count)) // 5,
            "request_ts": event_ts,
            "user_id": draw(rng, activity, count),
            "item_id": draw(rng, popularity, count),
            "event_ts": event_ts,
            "effective_arrival_ts": event_ts,
            "position": rng.integers(0, 20, count).astype(np.int32),
            "scene": rng.integers(0, 3, count).astype(np.int8),
        }
        _append(folder / "impressions", impressions)
        engaged = engagements_of(rng, impressions)
        last = START_US + DAY_US - 1
        stamps = {name: np.minimum(engaged["event_ts"], last) for name in ("event_ts", "effective_arrival_ts")}
        _append(folder / "engagements", engaged | stamps)


def _items(rng: np.random.Generator, size: LabelWorld) -> dict[str, np.ndarray]:
    """One version each, three in four with a duration."""
    duration = rng.integers(5, 300, size.items).astype(float)
    return {
        "item_id": np.arange(1, size.items + 1),
        "valid_from": np.full(size.items, START_US - DAY_US),
        "author_id": rng.integers(1, 1000, size.items),
        "duration_s": np.where(rng.random(size.items) < 0.75, duration, np.nan),
        "sets_valid_to": np.zeros(size.items, dtype=bool),
    }


def _append(uri: Path, columns: dict[str, np.ndarray]) -> None:
    """Rows of the first day; columns that the world lacks are null. Items landed the day before."""
    schema = to_arrow_schema(table(load_config(), uri.name).schema)
    ds = FIRST_DAY - timedelta(days=1) if uri.name == "item_profile" else FIRST_DAY
    rows = to_table(columns)
    rows = rows.append_column("ds", pa.array([ds] * rows.num_rows, pa.date32()))
    arrays = [
        rows.column(f.name).cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type)
        for f in schema
    ]
    write_deltalake(str(uri), pa.table(arrays, schema=schema), mode="append", partition_by=["ds"])
