"""One day of a training set as `headrace features` would leave it: 200 features, ten slices, two strata.

Cells are drawn feature by feature. States and defaults are the product's own (features.states), so that they fit the values.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction
from numpy.typing import NDArray
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.worldfiles import DAY_US, FIRST_DAY, SEED, START_US, known, made_once
from benchmarks.worlds import draw, zipf
from features.states import cell_states, fill_default
from headrace.config import Config, Feature, feature_columns, load_config
from headrace.config.cells import Cell, group_cells
from headrace.config.groups import Group
from headrace.config.load import config_from
from schemas.tables import table

__all__ = ["COVERAGE_WORLDS", "CoverageWorld", "coverage_config", "coverage_world"]

_HOUR = timedelta(hours=1)
_GROUP_ROWS = 1 << 17
_FILE_ROWS = 2 * _GROUP_ROWS
_POSITIVE_SHARE, _STALE_SHARE, _NULL_SHARE = 0.1, 0.004, 0.03
_KNOWN_SHARE = {"user": 0.97, "item": 0.99, "author": 0.98}
_PER_HOUR = {"user": 0.3, "item": 3.0, "author": 8.0}  # impressions
_SEGMENT_PART = 0.2
_METRICS = {"impression": 1.0, "click": 0.08, "like": 0.02, "collect": 0.01, "share": 0.005, "comment": 0.004}
_WATCH = "watch_seconds"
_CITIES, _CATEGORIES = 200, 100
_WORDS = {
    "scene": ["feed", "search", "follow", "detail", "push"],
    "device": ["phone", "tablet", "desktop", "tv"],
    "os": ["android", "ios", "web"],
    "network": ["wifi", "4g", "5g", "offline"],
    "city": [f"city_{n}" for n in range(_CITIES)],
    "user_gender": ["female", "male", "other"],
    "user_age_band": ["< 18", "18-24", "25-34", "35-44", "45-54", "55-64", "65+"],
    "item_category": [f"category_{n}" for n in range(_CATEGORIES)],
    "item_format": ["video", "image", "text", "live"],
}
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class CoverageWorld:
    """Size of one world."""

    rows: int


COVERAGE_WORLDS = {n: CoverageWorld(rows) for n, rows in (("tiny", 1_000), ("small", 100_000), ("full", 2_000_000))}


def coverage_world(folder: Path, scale: str) -> Path:
    """Write the world of a scale, unless it is there; return its folder, which holds the Delta table `training_set`.

    Raises
    ------
    ConfigError
        No such scale.
    """
    size = known(COVERAGE_WORLDS, scale)
    return made_once(folder / f"coverage-{scale}", asdict(size), partial(_write, size=size))


def coverage_config(root: Path) -> Config:
    """200 features in five groups, profiles and context; ten slices."""
    base = load_config().settings
    slices: list[Any] = ["scene", "device", "os", "network", "user_gender", "user_age_band", "item_format"]
    slices += [{"name": name, "column": name, "top": 50} for name in ("city", "item_category")]
    slices.append({"name": "known_item", "known": "item"})
    places = {"root": str(root), "landing": f"{root}/landing", "start_ds": FIRST_DAY}
    changed = {"features": _groups(base["features"]), "coverage": {**base["coverage"], "slices": slices}}
    return config_from({**base, **places, **changed}, origin="benchmark")


def _groups(base: dict[str, Any]) -> dict[str, Any]:
    metrics = {m: {"action": m} for m in _METRICS} | {_WATCH: {"action": "watch", "value": True, "unit": "s"}}
    counts, shown = list(_METRICS), [m for m in _METRICS if m != "impression"]
    each = {"delay": "1h", "refresh": "1h", "tolerance": "1d"}
    smooth = dict.fromkeys(shown, 100)
    whole = {"windows": ["1h", "1d", "7d", "30d"], "count": counts, "sum": [_WATCH], "mean": [_WATCH], "rate": shown}
    groups = {
        "user": {"entity": "user", **each, **whole, "recency": counts[:4]},
        "item": {"entity": "item", **each, **whole, "recency": counts[:4]},
        "author": {"entity": "author", **each, "windows": ["1d", "7d", "30d"], "count": counts[:4]}
        | {"mean": [_WATCH], "rate_smoothed": dict.fromkeys(shown[:4], 100)},
        "user_by_category": {"entity": "user", "segment": "item.category", **each, "windows": ["7d", "30d"]}
        | {"count": counts, "mean": [_WATCH], "rate_smoothed": smooth},
        "item_by_gender": {"entity": "item", "segment": "user.gender", **each, "windows": ["7d", "30d"]}
        | {"count": counts[:4], "rate_smoothed": smooth},
    }
    return {"tile": base["tile"], "metrics": metrics, "defaults": base["defaults"], "groups": groups}


def _write(folder: Path, *, size: CoverageWorld) -> None:
    """The Delta table, file by file, row groups and encodings as the product's (headrace.arrowsink)."""
    config, uri = coverage_config(folder), folder / "training_set"
    columns = to_arrow_schema(table(config, "training_set").schema)
    target = DeltaTable.create(str(uri), columns, partition_by=["ds"])
    inside = pa.schema([f for f in columns if f.name != "ds"])
    texts = [f.name for f in inside if pa.types.is_string(f.type)]
    added: list[AddAction | RemoveAction] = []
    for number, start in enumerate(range(0, size.rows, _FILE_ROWS)):
        path = f"ds={FIRST_DAY}/part-{number:03d}.zstd.parquet"
        (uri / path).parent.mkdir(exist_ok=True)
        last = min(start + _FILE_ROWS, size.rows)
        with pq.ParquetWriter(uri / path, inside, compression="zstd", use_dictionary=texts) as writer:  # type: ignore[arg-type]
            for first in range(start, last, _GROUP_ROWS):
                writer.write_table(_rows(config, inside, first=first, count=min(_GROUP_ROWS, last - first)))
        stats = f'{{"numRecords": {last - start}}}'
        added.append(AddAction(path, (uri / path).stat().st_size, {"ds": str(FIRST_DAY)}, 0, True, stats))
    target.create_write_transaction(added, mode="append", schema=target.schema(), partition_by=["ds"])


def _rows(config: Config, schema: pa.Schema, *, first: int, count: int) -> pa.Table:
    rng = np.random.default_rng([SEED, first])
    features = feature_columns(config)
    drawn = _Drawn(rng, count, config)
    made = _keys(rng, schema, first=first, count=count)
    states = np.empty((count, len(features)), np.uint8)
    for position, feature in enumerate(features):
        column = drawn.column(feature).cast(schema.field(feature.name).type)
        known, stale = drawn.checks(feature.source)
        states[:, position] = cell_states(column, feature, known=known, stale=stale)
        made[feature.name] = fill_default(column, feature)
    whole = pa.py_buffer(states.tobytes())
    made["feature_states"] = pa.FixedSizeBinaryArray.from_buffers(pa.binary(len(features)), count, [None, whole]).cast(
        pa.binary()
    )
    return pa.Table.from_arrays([made[f.name].cast(f.type) for f in schema], schema=schema)


def _keys(rng: np.random.Generator, schema: pa.Schema, *, first: int, count: int) -> dict[str, pa.Array]:
    """Everything that is no feature: ids, times, labels, weights."""
    positive, ids = rng.random(count) < _POSITIVE_SHARE, np.arange(first, first + count)
    at = pa.array(START_US + np.sort(rng.integers(0, DAY_US, count)), pa.timestamp("us", "UTC"))
    made = {
        "impression_id": pa.array(ids),
        "request_id": pa.array(ids // 5),
        "request_ts": at,
        "event_ts": at,
        "user_id": pa.array(rng.integers(1, 200_000, count)),
        "item_id": pa.array(rng.integers(1, 50_000, count)),
        "author_id": pa.array(rng.integers(1, 5_000, count)),
        "sampling_stratum": pa.array(np.where(positive, "positive", "negative")),
        "sampling_rate": pa.array(np.where(positive, 1.0, 0.1)),
        "sample_weight": pa.array(np.where(positive, 1.0, 10.0)),
        "split": pa.nulls(count, pa.string()),
    }
    for name in (n for n in schema.names if n.startswith("label_")):
        seconds = pa.array(np.round(rng.exponential(20.0, count) * positive, 3))
        made[name] = seconds if name.endswith(("_s", "_completion")) else pa.array(positive & (rng.random(count) < 0.3))
    return made


@dataclass
class _Drawn:
    """Feature columns (N,), null where nothing is known."""

    rng: np.random.Generator
    count: int
    config: Config
    known: dict[str, Bools] = field(default_factory=dict)
    stale: dict[str, Bools] = field(default_factory=dict)
    ready: dict[str, pa.Array] = field(default_factory=dict)

    def checks(self, source: str) -> tuple[Bools | None, Bools | None]:
        """Whether the key was known and whether the source is stale; None for context."""
        return self.known.get(source), self.stale.get(source)

    def column(self, feature: Feature) -> pa.Array:
        """The cells of one feature before defaults fill them."""
        kind, _, name = feature.source.partition(":")
        if kind != "context" and feature.source not in self.known:
            self._start(feature.source, entity=name if kind == "profile" else self.config.features.groups[name].entity)
        if kind != "group":
            return _attribute(self.rng, feature, self.known.get(feature.source), count=self.count)
        if feature.name not in self.ready:
            self.ready = dict(_group(self.rng, self.config.features.groups[name], self.known[feature.source]))
        return self.ready[feature.name]

    def _start(self, source: str, *, entity: str) -> None:
        self.known[source] = self.rng.random(self.count) < _KNOWN_SHARE[entity] - 0.01 * len(self.known)
        self.stale[source] = self.rng.random(self.count) < _STALE_SHARE


def _attribute(rng: np.random.Generator, feature: Feature, known: Bools | None, *, count: int) -> pa.Array:
    """A column of the context (never null, but for the holiday, which has no country) or of a profile."""
    name = feature.name
    if name == "context_is_holiday":
        return pa.nulls(count, pa.bool_())
    absent = np.zeros(count, bool) if known is None else ~known | (rng.random(count) < _NULL_SHARE)
    if name in _WORDS:
        words = _WORDS[name]
        codes = (draw(rng, zipf(len(words)), count) - 1).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=absent), pa.array(words)).cast(pa.string())
    if feature.type in ("int", "boolean"):
        low, high = {"context_weekday": (5, 6), "context_is_weekend": (0, 1), "user_age": (13, 80)}.get(name, (0, 24))
        return pa.array(rng.integers(low, high, count), mask=absent)
    scale = 30e6 if name.endswith("_age_s") else 60.0 if feature.unit == "s" else 1.0
    return pa.array(np.round(rng.standard_exponential(count) * scale, 6), mask=absent)


def _group(rng: np.random.Generator, group: Group, known: Bools) -> Iterator[tuple[str, pa.Array]]:
    """Counts of an uneven pace, and what follows from them: sums, means, rates; null where the key is not known."""
    pace = rng.standard_exponential(len(known)) ** 2 * _PER_HOUR[group.entity] / 2
    pace *= 1.0 if group.segment is None else _SEGMENT_PART
    counts: dict[tuple[str, float], Floats] = {}
    for cell in group_cells(group):
        hours = cell.window.length / _HOUR if cell.window and cell.window.length else 0.0
        for metric in (cell.metric, cell.over or "impression"):
            if (metric, hours) not in counts:
                counts[metric, hours] = rng.poisson(pace * _METRICS.get(metric, 0.5) * hours).astype(np.float64)
        n, over = counts[cell.metric, hours], counts[cell.over or "impression", hours]
        yield cell.name, pa.array(_values(rng, cell, n, over, pace), mask=~known, from_pandas=True)


def _values(rng: np.random.Generator, cell: Cell, n: Floats, over: Floats, pace: Floats) -> Floats:
    """NaN where there is nothing to divide by, or no event at all."""
    if cell.aggregate == "count":
        return n
    if cell.aggregate == "recency":
        away = np.round(rng.standard_exponential(len(n)) * 3600 / (pace * _METRICS[cell.metric] + 1e-3), 6)
        return np.where(away < 90 * 86_400, away, np.nan)
    if cell.aggregate in ("sum", "mean"):
        total = np.round(rng.gamma(np.maximum(n, 0.01), 20.0) * (n > 0), 6)
        return total if cell.aggregate == "sum" else _ratio(total, n)
    if cell.aggregate == "rate":
        return _ratio(np.minimum(n, over), over)
    strength = cell.strength or 0.0
    return (np.minimum(n, over) + strength * _METRICS[cell.metric]) / (over + strength)


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.full(len(a), np.nan), where=b > 0)
