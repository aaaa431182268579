"""Feast: point-in-time joins of profiles, and of statistics that a pipeline has precomputed.

Feast joins, it computes no windows when asked; so a group with a refresh gets rows made before (precompute.py), stamped
when they are published, and a group with refresh 0 cannot be said. Profiles are stamped with valid_from and created
when they landed, and joined with `filter_by_created_timestamp`; valid_to is a feature of its own, looked at afterwards.
"""

import tempfile
import warnings
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64, Int64, String

from tests.conformance.peers.common import Answer, Cannot, Job, answers

__all__ = ["answer"]

_NO_WINDOWS = Cannot("Feast joins values that a pipeline made before, it computes no window at the moment of a request")
_COLUMNS: dict[str, dict[str, Any]] = {"user": {"gender": String}, "item": {"author_id": Int64, "category": String}}
Row = dict[str, Any]


def answer(job: Job) -> Answer:
    """Every feature of every ask; each case has a store of its own."""
    found: Answer = {}
    for case in dict.fromkeys(a["case"] for a in job.asks):
        tables: dict[str, Any] = {
            n: [r for r in getattr(job, n) if r["case"] == case] for n in ("users", "items", "asks", "ready")
        }
        found |= _answer_case(replace(job, **tables))
    return found


def _answer_case(job: Job) -> Answer:
    if job.kind == "profile":
        profiles = _profiles(job, job.entity)
        return {
            (a["case"], a["ask"]): {f.name: p[f.name.removeprefix(f"{job.entity}_")] for f in job.features}
            for a, p in zip(job.asks, profiles, strict=True)
        }
    if not job.refresh_us:
        return {(a["case"], a["ask"]): {f.name: _NO_WINDOWS for f in job.features} for a in job.asks}
    asks = _placed(job)
    kinds = {f.name: Int64 if f.kind == "count" else Float64 for f in job.features}
    keys = {"key": ValueType.INT64, **({"segment": ValueType.STRING} if job.segment else {})}
    found = _joined(job.ready, asks, keys=keys, columns=kinds, stamp="stamp_us", created=None)
    whole = {name for name, kind in kinds.items() if kind == Int64}
    return {
        (a["case"], a["ask"]): {n: int(r[n]) if n in whole and r[n] is not None else r[n] for n in kinds}
        for a, r in zip(asks, found, strict=True)
    }


def _placed(job: Job) -> list[Row]:
    """The requests with their key and segment."""
    source, column = (job.segment or ".").split(".")
    if job.entity == "author":
        return [{**a, "key": p["author_id"]} for a, p in zip(job.asks, _profiles(job, "item"), strict=True)]
    asks = [{**a, "key": a[f"{job.entity}_id"]} for a in job.asks]
    if source in _COLUMNS:
        return [{**a, "segment": p[column]} for a, p in zip(asks, _profiles(job, source), strict=True)]
    return [{**a, "segment": a[column] if source == "impression" else None} for a in asks]


def _profiles(job: Job, entity: str) -> list[Row]:
    """The profile of each request's user or item: the version that had begun and was known, if it has not ended."""
    asks = [{**a, "key": a[f"{entity}_id"]} for a in job.asks]
    columns = {**_COLUMNS[entity], "valid_to_us": Int64}
    rows = getattr(job, f"{entity}s")
    found = _joined(
        rows, asks, keys={"key": ValueType.INT64}, columns=columns, stamp="valid_from_us", created="landed_us"
    )
    ended = [
        r["valid_to_us"] is not None and r["valid_to_us"] <= a["request_us"] for a, r in zip(asks, found, strict=True)
    ]
    return [dict.fromkeys(columns) if over else row for over, row in zip(ended, found, strict=True)]


def _joined(
    rows: list[Row], asks: list[Row], *, keys: dict[str, Any], columns: dict[str, Any], stamp: str, created: str | None
) -> list[Row]:
    """Per request the columns of the last row of its keys that is not stamped after it; requests without a key get none."""
    whole = [n for n, a in enumerate(asks) if all(a.get(k) is not None for k in keys)]
    found = [dict.fromkeys(columns) for _ in asks]
    if not rows or not whole:
        return found
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = pd.DataFrame(
            {
                **{k: pd.Series([r[k] for r in rows], dtype="Int64" if k == "key" else "string") for k in keys},
                **{c: pd.Series([r[c] for r in rows], dtype=_dtype(kind)) for c, kind in columns.items()},
                "stamp": _moments([r[stamp] for r in rows]),
                "created": _moments([r[created or stamp] for r in rows]),
            }
        )
        frame.to_parquet(Path(folder) / "rows.parquet", index=False)
        store = _store(Path(folder), keys=keys, columns=columns)
        entity = pd.DataFrame({k: [asks[n][k] for n in whole] for k in keys})
        entity["event_timestamp"] = _moments([asks[n]["request_us"] for n in whole])
        entity["place"] = whole
        names = [f"numbers:{c}" for c in columns]
        more = {"filter_by_created_timestamp": True} if created else {}
        joined = store.get_historical_features(entity_df=entity, features=names, **more).to_df()
    for record in joined.to_dict("records"):
        found[record["place"]] = {c: None if pd.isna(record[c]) else record[c] for c in columns}
    return found


def _dtype(kind: Any) -> str:
    return {Int64: "Int64", Float64: "float64", String: "string"}[kind]


def _moments(micros: list[int]) -> pd.Series:
    return pd.Series(pd.to_datetime(micros, unit="us", utc=True))


def _store(folder: Path, *, keys: dict[str, Any], columns: dict[str, Any]) -> FeatureStore:
    """A local store with one feature view over rows.parquet."""
    config = RepoConfig(
        project="cases",
        provider="local",
        registry=str(folder / "registry.db"),
        offline_store={"type": "file"},
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = [Entity(name=f"by_{k}", join_keys=[k], value_type=kind) for k, kind in keys.items()]
    source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="stamp", created_timestamp_column="created")
    schema = [Field(name=k, dtype=Int64 if kind == ValueType.INT64 else String) for k, kind in keys.items()]
    schema += [Field(name=c, dtype=kind) for c, kind in columns.items()]
    view = FeatureView(name="numbers", entities=entities, ttl=timedelta(0), schema=schema, source=source, online=False)
    store.apply([*entities, view])
    return store


if __name__ == "__main__":
    answers(answer, version=f"Feast {version('feast')}")
