"""A published training set made by numpy alone: a Delta table of some days and their receipts, for the trainer's benchmarks.

Ids of users and items, 18 small words of the context, 10 numbers, four labels whose logits are sums of effects, negatives
kept at a tenth. No Spark: it can be made where there is none, as on a machine that is only there for its GPU.
"""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from deltalake import write_deltalake

__all__ = ["published_world"]

_FIRST = date(2024, 5, 1)
_USERS, _ITEMS, _WORDS, _NUMBERS = 1_000_000, 100_000, 18, 10
_ACTIONS = ("click", "like", "collect", "share")
_RATE = 0.1  # of negatives
_CHUNK = 500_000
_MAP = pa.map_(pa.string(), pa.string())


def published_world(root: Path, *, rows: int, days: int = 2) -> list[date]:
    """Write about `rows` kept rows over `days` days under `root`; returns the days."""
    rng = np.random.default_rng(7)
    effects = {name: rng.normal(0, 0.4, size) for name, size in (("user", 4096), ("item", 4096), ("word", 1000))}
    named = [_FIRST + timedelta(days=k) for k in range(days)]
    for number, ds in enumerate(named):
        for start in range(0, rows // days, _CHUNK):
            made = _rows(rng, ds, count=min(_CHUNK, rows // days - start), first=start, effects=effects)
            write_deltalake(str(root / "training_set"), made, mode="append", partition_by=["ds"])
        _publish(root, ds, version=_versions(rows // days) * (number + 1) - 1)
    return named


def _versions(rows: int) -> int:
    return -(-rows // _CHUNK)


def _rows(rng: np.random.Generator, ds: date, *, count: int, first: int, effects: dict[str, npt.NDArray]) -> pa.Table:
    shown = 4 * count  # more than enough: some 30 % are kept
    user, item = (rng.zipf(1.3, shown) % _USERS) * 7919 % _USERS, (rng.zipf(1.2, shown) % _ITEMS) * 7919 % _ITEMS
    words = rng.integers(0, 1000, (shown, _WORDS), dtype=np.int32)
    numbers = rng.normal(size=(shown, _NUMBERS))
    logit = effects["user"][user % 4096] + effects["item"][item % 4096] + numbers[:, :4].sum(axis=1) * 0.3 - 1.5
    logit += effects["word"][words[:, :4]].sum(axis=1)
    click = rng.random(shown) < 1 / (1 + np.exp(-logit))
    labels = {"click": click}
    labels |= {a: click & (rng.random(shown) < 0.1 * k) for k, a in enumerate(_ACTIONS[1:], start=1)}
    rate = np.where(click, 1.0, _RATE)
    kept = np.flatnonzero(rng.random(shown) < rate)[:count]
    columns: dict[str, object] = {
        "impression_id": np.arange(first, first + len(kept)) + ds.toordinal() * 10**9,
        "request_id": np.arange(first, first + len(kept)) // 10,
        "user_id": user[kept],
        "item_id": item[kept],
        **{f"label_{action}": cells[kept].astype(np.int32) for action, cells in labels.items()},
        "sampling_rate": rate[kept],
        "sample_weight": 1 / rate[kept],
        **{f"word_{k}": words[kept, k] for k in range(_WORDS)},
        **{f"number_{k}": numbers[kept, k] for k in range(_NUMBERS)},
        "feature_states": pa.array([bytes(_WORDS + _NUMBERS)] * len(kept), pa.binary()),
        "ds": pa.array([ds] * len(kept)),
    }
    return pa.table(columns)


def _publish(root: Path, ds: date, *, version: int) -> None:
    """A publish receipt, as headrace writes it."""
    words = [
        {"name": f"word_{k}", "type": "int", "unit": "", "source": "context", "default": None} for k in range(_WORDS)
    ]
    numbers = [
        {"name": f"number_{k}", "type": "double", "unit": "", "source": "profile:item", "default": None}
        for k in range(_NUMBERS)
    ]
    labels = {
        "positive": list(_ACTIONS), "implies": dict.fromkeys(_ACTIONS[1:], "click"), "actions": list(_ACTIONS),
    }  # fmt: skip
    notes = {
        "features": json.dumps(words + numbers),
        "labels": json.dumps(labels),
        "sampling": json.dumps({"salt": "s", "negative_rate": _RATE, "positive_rate": 1.0}),
    }
    now = datetime(2024, 6, 1, tzinfo=UTC)
    row = {
        "job": "publish", "revision": 1, "status": "published", "fingerprint": "", "inputs": [],
        "outputs": [("training_set", f"made-{ds}")], "versions": [("training_set", str(version))],
        "config_hash": "", "code_version": "0", "notes": list(notes.items()), "started_at": now, "ended_at": now,
        **{f"rows_{n}": 0 for n in ("in", "out", "quarantined", "duplicate", "sampled_out", "immature")}, "ds": ds,
    }  # fmt: skip
    types = {"revision": pa.int32(), "inputs": _MAP, "outputs": _MAP, "versions": _MAP, "notes": _MAP}
    columns = {name: pa.array([value], type=types.get(name)) for name, value in row.items()}
    write_deltalake(str(root / "receipts"), pa.table(columns), mode="append", partition_by=["ds"])
