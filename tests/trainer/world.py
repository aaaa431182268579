"""A small published root made by hand: a training set with known true probabilities, and its receipts."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable, write_deltalake

from headrace.config import load_config

__all__ = ["CONFIG", "FEATURES", "FIRST", "LABELS", "make_day", "publish", "world", "write_day", "write_truth"]

FIRST = date(2024, 5, 1)
CONFIG = load_config(
    settings=[
        f"train.{setting}"
        for setting in (
            "days=2", "epochs=3", "batch_size=256", "window_rows=4096", "learning_rate=0.005", "embedding_dim=4",
            "hash_buckets=500", "experts=2", "expert_layers=[32, 16]", "tower_layers=[8]", "warmup_steps=5", "on_top=null", "embedding_learning_rate=0.05",
        )
    ]
).train  # fmt: skip
FEATURES = (
    {"name": "context_hour", "type": "int", "unit": "", "source": "context", "default": None},
    {"name": "scene", "type": "string", "unit": "", "source": "context", "default": None},
    {"name": "user_age", "type": "int", "unit": "", "source": "profile:user", "default": None},
    {"name": "is_new", "type": "boolean", "unit": "", "source": "profile:user", "default": None},
    {"name": "item_click_count_7d", "type": "bigint", "unit": "events", "source": "group:item", "default": 0},
    {"name": "item_quality", "type": "double", "unit": "", "source": "profile:item", "default": None},
    {"name": "item_recency_s", "type": "double", "unit": "s", "source": "group:item", "default": None},
    {"name": "item_duration_s", "type": "double", "unit": "s", "source": "profile:item", "default": None},
)
LABELS: Mapping[str, Any] = {
    "positive": ["click", "like", "follow"],
    "implies": {"like": "click"},
    "actions": ["click", "like", "follow"],
}
_MAP = pa.map_(pa.string(), pa.string())


def make_day(ds: date, *, rows: int = 8000, negative_rate: float = 0.1, positive_rate: float = 1.0) -> pa.Table:
    """Sampled rows of a day of `rows` impressions, with p_click and p_like beside them (not for the table)."""
    rng = np.random.default_rng(ds.toordinal())
    user, item = rng.integers(0, 200, rows), rng.integers(0, 100, rows)
    quality, scene = rng.normal(size=rows), rng.choice(["feed", "search"], rows)
    p_click = 1 / (1 + np.exp(3.0 - 1.2 * quality - 1.0 * (scene == "search")))
    p_like_given_click = 1 / (1 + np.exp(1.0 - 0.8 * quality))
    click = rng.random(rows) < p_click
    like = click & (rng.random(rows) < p_like_given_click)
    follow = rng.random(rows) < 0.03  # does not imply click, so "any positive" is more than click
    rate = np.where(click | follow, positive_rate, negative_rate)
    kept = rng.random(rows) < rate
    seen = rng.random(rows) < 0.9
    video = item % 4 != 0  # the rest are notes: nothing to watch
    duration = 5.0 * (1 + item % 30)
    watched = np.where(click, np.minimum(rng.exponential(0.3 + 0.2 * (scene == "search"), rows), 1.2) * duration, 0.0)
    columns = {
        "impression_id": np.arange(rows) + ds.toordinal() * 1_000_000,
        "request_id": pa.array(np.arange(rows) // 8, mask=np.arange(rows) % 97 == 0),
        "user_id": user, "item_id": item, "author_id": pa.array(item % 7, mask=item % 7 == 0),
        "label_click": click.astype(np.int32), "label_like": like.astype(np.int32),
        "label_follow": follow.astype(np.int32), "label_watch_s": pa.array(watched, mask=~video),
        "label_completion": pa.array(watched / duration, mask=~video),
        "label_completed": pa.array((watched >= 0.8 * duration).astype(np.int32), mask=~video), "sampling_rate": rate, "sample_weight": 1 / rate,
        "context_hour": rng.integers(0, 24, rows).astype(np.int32), "scene": scene,
        "user_age": pa.array(rng.integers(15, 70, rows).astype(np.int32), mask=~seen), "is_new": rng.random(rows) < 0.2,
        "item_click_count_7d": rng.poisson(20, rows), "item_quality": quality,
        "item_recency_s": pa.array(rng.exponential(3600, rows), mask=~seen),
        "item_duration_s": pa.array(duration, mask=~video), "feature_states": _states(seen, video), "ds": [ds] * rows,
        "p_click": p_click, "p_like": p_click * p_like_given_click,
    }  # fmt: skip
    return pa.table(columns).filter(pa.array(kept))


def _states(seen: np.ndarray, video: np.ndarray) -> pa.Array:
    states = np.zeros((len(seen), len(FEATURES)), dtype=np.uint8)
    states[~seen, 2] = 5
    states[~seen, 6] = 3
    states[~video, 7] = 3
    return pa.array([row.tobytes() for row in states], type=pa.binary())


def write_day(root: Path, rows: pa.Table, *, mode: str = "append") -> int:
    """Append to `training_set`; returns the Delta version."""
    kept = rows.drop_columns([n for n in ("p_click", "p_like") if n in rows.column_names])
    write_deltalake(str(root / "training_set"), kept, mode=mode, partition_by=["ds"])  # type: ignore[call-overload]
    return DeltaTable(str(root / "training_set")).version()


def publish(
    root: Path,
    ds: date,
    *,
    version: int,
    revision: int = 1,
    status: str = "published",
    features: Sequence[Mapping[str, Any]] = FEATURES,
    labels: Mapping[str, Any] = LABELS,
) -> None:
    """Append a `publish` receipt as headrace writes it."""
    notes = {
        "features": json.dumps(list(features)),
        "labels": json.dumps(dict(labels)),
        "manifest": f"manifest-{ds}",
        "sampling": json.dumps({"salt": "s", "negative_rate": 0.1, "positive_rate": 1.0}),
    }
    now = datetime(2024, 6, 1, tzinfo=UTC)
    row = {
        "job": "publish", "revision": revision, "status": status, "fingerprint": "", "inputs": [],
        "outputs": [("training_set", f"hash-{ds}-{revision}")], "versions": [("training_set", str(version))],
        "config_hash": "", "code_version": "0.1.0",
        **{f"rows_{n}": 0 for n in ("in", "out", "quarantined", "duplicate", "sampled_out", "immature")},
        "notes": list(notes.items()), "started_at": now, "ended_at": now, "ds": ds,
    }  # fmt: skip
    types = {"revision": pa.int32(), "inputs": _MAP, "outputs": _MAP, "versions": _MAP, "notes": _MAP}
    columns = {name: pa.array([value], type=types.get(name)) for name, value in row.items()}
    write_deltalake(str(root / "receipts"), pa.table(columns), mode="append", partition_by=["ds"])


def write_truth(folder: Path, rows: pa.Table) -> None:
    """True probabilities of the rows' impressions, one file."""
    day = folder / f"ds={rows['ds'][0].as_py()}"
    day.mkdir(parents=True)
    pq.write_table(rows.select(["impression_id", "p_click", "p_like"]), day / "part-0.parquet")


def world(root: Path, *, days: int = 2, rows: int = 8000) -> tuple[str, list[date]]:
    """`days` published days with truth beside the root; returns (root, days)."""
    named = [FIRST + timedelta(days=k) for k in range(days)]
    for ds in named:
        made = make_day(ds, rows=rows)
        publish(root, ds, version=write_day(root, made))
        write_truth(root / "truth", made)
    return str(root), named
