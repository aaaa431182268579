"""A made coverage table with its neighbours: days x features x slice values, as a run leaves them behind.

Columns that the report never opens (HyperLogLog registers) are left out; bins stand in every row, as they do in the product.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake
from numpy.typing import NDArray

from benchmarks.worldfiles import FIRST_DAY, SEED, known, made_once
from reports.bins import BITS_OF_SLICE, BITS_OF_WHOLE, bin_codes
from reports.read import QUANTILES, STATES

__all__ = ["REPORT_WORLDS", "ReportWorld", "report_facts", "report_world"]

_STAMP, _NOTES = pa.timestamp("us", "UTC"), pa.map_(pa.string(), pa.string())
_WINDOWS = ("1h", "1d", "7d", "30d", "90d")
_METRICS = ("click", "like", "collect", "share", "comment")


@dataclass(frozen=True)
class ReportWorld:
    """Size: days, features, and values of each of the ten slices."""

    days: int
    features: int
    values: tuple[int, ...]

    @property
    def last(self) -> date:
        """The day that the report is made for."""
        return FIRST_DAY + timedelta(days=self.days - 1)

    @property
    def names(self) -> list[str]:
        """Feature names, as they are generated."""
        kinds = [
            f"{e}_{m}_{a}_{w}"
            for a in ("count", "rate")
            for e in ("user", "item", "author")
            for m in _METRICS
            for w in _WINDOWS
        ]
        more = [f"user_by_category_{m}_count_{w}" for m in _METRICS for w in _WINDOWS]
        return [*kinds, *more, *(f"context_{n}" for n in range(self.features))][: self.features]

    def facts(self) -> dict[str, int]:
        """What identifies the world on disk."""
        return {"days": self.days, "features": self.features, "values": sum(self.values)}


REPORT_WORLDS = {
    "tiny": ReportWorld(3, 6, (2, 3)),
    "small": ReportWorld(30, 60, (3, 3, 4, 4, 6, 3, 8, 4, 2, 3)),
    "full": ReportWorld(90, 200, (5, 4, 6, 4, 51, 8, 3, 24, 51, 144)),
}


def report_facts(world: ReportWorld) -> dict[str, dict[str, Any]]:
    """What the configuration would say of every feature."""
    return {
        name: {
            "source": f"group:{name.split('_')[0]}",
            "entity": None if name.startswith("context") else name.split("_")[0],
            "window": name.rsplit("_", 1)[1] if name.endswith(_WINDOWS) else None,
            "definition": f"what {name.replace('_', ' ')} means, in a sentence of usual length",
            "type": "double",
            "default": 0,
            "lineage": [
                {"table": "impressions", "kind": "log"},
                {"table": f"tiles_{name.split('_')[0]}", "kind": "tiles"},
            ],
        }
        for name in world.names
    }


def report_world(work: Path, scale: str) -> Path:
    """Folder of the tables, made once.

    Raises
    ------
    ConfigError
        The scale is not known.
    """
    world = known(REPORT_WORLDS, scale)
    return made_once(work / f"report-{scale}", world.facts(), lambda folder: _write(folder, world))


def _write(root: Path, world: ReportWorld) -> None:
    random = np.random.default_rng(SEED)
    base = random.dirichlet((60, 12, 3, 3, 1, 2), size=world.features)  # (F, 6)
    base[::9, 4] = 0.0
    for number in range(world.days):
        day = FIRST_DAY + timedelta(days=number)
        if world.days > 10 and number == world.days // 3:
            continue  # a day that was never counted
        fell = 0.12 * (number == world.days - 1)
        table = _coverage(random, world, base=base, fell=fell, day=day)
        _append(root, "coverage", table)
        _append(root, "receipts", _receipts(day))
        _append(root, "sampling_rates", _rates(random, day))
        _append(root, "quarantine", _quarantine(random, day))
    _append(root, "gate_results", _gates(world))


def _append(root: Path, name: str, table: pa.Table) -> None:
    write_deltalake(str(root / name), table, partition_by=["ds"], mode="append")


def _coverage(
    random: np.random.Generator, world: ReportWorld, *, base: NDArray[np.float64], fell: float, day: date
) -> pa.Table:
    """Rows of a day, feature by feature; each has slice "all" and every slice value."""
    pairs = [("all", "all")] + [(f"slice_{s}", f"value {v}") for s, n in enumerate(world.values) for v in range(n)]
    parts = [random.dirichlet(np.full(n, 1.5)) for n in world.values]
    rows_of = np.rint(2_000_000 * np.concatenate([[1.0], *parts])) + 50.0  # (V,)
    features, values = world.features, len(pairs)
    shares = np.clip(
        base[:, None, :] + random.normal(0, 0.004, (features, values, 6)) * (base[:, None, :] > 0), 0, None
    )
    shares[:7, :, 5] += fell
    shares /= shares.sum(axis=2, keepdims=True)
    cells = shares.reshape(-1, 6)
    rows = np.tile(rows_of, features)
    weight = rows * 4.25
    columns: dict[str, Any] = {
        "feature": np.repeat(world.names, values),
        "slice": [name for name, _ in pairs] * features,
        "value": [value for _, value in pairs] * features,
        "rows": rows.astype(np.int64),
        "weight": weight,
        "coverage": cells[:, 0] + cells[:, 1],
    }
    for s, state in enumerate(STATES):
        columns[f"rows_{state}"] = np.rint(cells[:, s] * rows).astype(np.int64)
        columns[f"weight_{state}"] = cells[:, s] * weight
    columns |= _numbers(random, len(rows)) | _distributions(random, features=features, values=values)
    change = random.normal(0, 0.004, len(rows)) - np.repeat(np.arange(features) < 7, values) * fell
    columns |= {
        "coverage_change": change,
        "coverage_change_low": change - 0.006,
        "coverage_change_high": change + 0.006,
    }
    columns |= {"reference": [f"{day - timedelta(days=7)}..{day - timedelta(days=1)} (7 days)"] * len(rows)}
    columns |= {name: pa.array([day] * len(rows), pa.date32()) for name in ("first_ds", "ds")}
    return pa.table(columns)


def _numbers(random: np.random.Generator, rows: int) -> dict[str, Any]:
    quantiles = np.sort(random.lognormal(2, 1.5, (rows, len(QUANTILES))), axis=1)
    named = {name: quantiles[:, q] for q, name in enumerate(QUANTILES)}
    named |= {name: random.lognormal(2, 1, rows) for name in ("mean", "std", "min", "max", "effective_rows")}
    named |= {name: random.gamma(0.5, 0.05, rows) for name in ("psi", "js", "top_share")}
    return named | {"distinct": random.integers(2, 10_000, rows), "rows_infinite": np.zeros(rows, np.int64)}


def _distributions(random: np.random.Generator, *, features: int, values: int) -> dict[str, Any]:
    """Bins of every row: of the whole some hundred, of a slice value a sixth of that."""
    codes, weights = [], []
    for feature in range(features):
        sample = random.lognormal(2 + feature % 5, 1, 4_000)
        sample[: feature % 3 * 400] = 0.0
        for bits in (BITS_OF_WHOLE, BITS_OF_SLICE):
            found, counted = np.unique(bin_codes(sample.copy(), bits=bits), return_counts=True)
            times = 1 if bits == BITS_OF_WHOLE else values - 1
            codes += [found.astype(np.int32)] * times
            weights += [counted * 500.0] * times
    return {"bins": pa.array(codes, pa.list_(pa.int32())), "bin_weights": pa.array(weights, pa.list_(pa.float64()))}


def _receipts(day: date) -> pa.Table:
    start = datetime(day.year, day.month, day.day, 1, tzinfo=UTC) + timedelta(days=1)
    jobs = ("ingest", "tiles", "labels", "sample", "features", "coverage", "publish")
    notes = [("impressions.rows_in", "2000100"), ("impressions.rows_out", "2000000"), ("impressions.late_1d", "1834")]
    rows = [
        {"job": job, "revision": 1, "status": "published" if job == "publish" else "done", "ds": day}
        | {"notes": notes if job == "ingest" else [("features", "x" * 20_000)] if job == "publish" else []}
        | {"rows_in": 2_000_100, "rows_out": 2_000_000, "rows_quarantined": 60, "rows_duplicate": 40}
        | {
            "rows_sampled_out": 0,
            "rows_immature": 0,
            "started_at": start,
            "ended_at": start + timedelta(seconds=60 + n),
        }
        for n, job in enumerate(jobs)
    ]
    kinds = {"revision": pa.int32(), "notes": _NOTES, "started_at": _STAMP, "ended_at": _STAMP, "ds": pa.date32()}
    return _typed(rows, kinds)


def _rates(random: np.random.Generator, day: date) -> pa.Table:
    rows = [
        {"stratum": stratum, "label": label, "seen": int(9e6 * rate), "kept": int(9e5 * rate), "nominal_rate": 0.1}
        | {"realised_rate": 0.1 + random.normal(0, 1e-4), "p_value": 0.4, "ds": day}
        for stratum in ("positive", "negative", "new user", "search")
        for label, rate in (("all", 1.0), ("label_click", 0.08), ("label_like", 0.02 + 0.001 * random.random()))
    ]
    return _typed(rows, {"ds": pa.date32()})


def _quarantine(random: np.random.Generator, day: date) -> pa.Table:
    kinds = {"impressions": "null_id", "engagements": "event_ts_out_of_range", "item_profile": "unknown_format"}
    often = {table: int(random.integers(5, 60)) for table in kinds}
    rows = [{"table_name": t, "reason": kinds[t], "ds": day} for t, n in often.items() for _ in range(n)]
    return _typed(rows, {"ds": pa.date32()})


def _gates(world: ReportWorld) -> pa.Table:
    kinds = ("no feature falls", "values moved")
    rows: list[dict[str, Any]] = [
        {
            "revision": 1,
            "rule": rule,
            "severity": "warning",
            "metric": "coverage",
            "checked": world.features,
            "failed": 7,
        }
        for rule in kinds
    ]
    cell = {
        "revision": 1,
        "rule": kinds[0],
        "severity": "warning",
        "metric": "coverage",
        "slice": "all",
        "value": "all",
    }
    cell |= {"observed": 0.8, "wanted_low": 0.87, "median": 0.92, "since": world.last, "checked": 1, "failed": 1}
    rows += [cell | {"feature": name} for name in world.names[:7]]
    names = ("feature", "slice", "value", "accepted", "observed", "wanted_low", "wanted_high", "median", "since")
    numbers = (
        {name: pa.float64() for name in names[4:8]} | {name: pa.string() for name in names[:4]} | {"since": pa.date32()}
    )
    return _typed(
        [dict.fromkeys(names) | row | {"ds": world.last} for row in rows],
        {**numbers, "revision": pa.int32(), "ds": pa.date32()},
    )


def _typed(rows: list[dict[str, Any]], kinds: dict[str, pa.DataType]) -> pa.Table:
    found = {name: pa.array([row[name] for row in rows], kinds.get(name)) for name in rows[0]}
    return pa.table(found)
