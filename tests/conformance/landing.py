"""The cases of one world as landing files, and the days that its chain has to build."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from tests.conformance.case import TABLES, Case

__all__ = ["landed_days", "landing_day", "moment", "write_landing"]

IDS = ("impression_id", "request_id", "user_id", "item_id", "author_id")
_TS = pa.timestamp("us", tz="UTC")
_SCHEMAS: dict[str, dict[str, pa.DataType]] = {
    "impressions": {
        "impression_id": pa.int64(),
        "request_id": pa.int64(),
        "request_ts": _TS,
        "user_id": pa.int64(),
        "item_id": pa.int64(),
        "event_ts": _TS,
        "arrival_ts": _TS,
        "scene": pa.string(),
    },
    "engagements": {
        "impression_id": pa.int64(),
        "user_id": pa.int64(),
        "item_id": pa.int64(),
        "action": pa.string(),
        "value": pa.float64(),
        "event_ts": _TS,
        "arrival_ts": _TS,
    },
    "user_profile": {
        "user_id": pa.int64(),
        "valid_from": _TS,
        "valid_to": _TS,
        "gender": pa.string(),
        "age": pa.int32(),
        "age_band": pa.string(),
        "registered_ts": _TS,
    },
    "item_profile": {
        "item_id": pa.int64(),
        "valid_from": _TS,
        "valid_to": _TS,
        "author_id": pa.int64(),
        "category": pa.string(),
        "format": pa.string(),
        "duration_s": pa.float64(),
        "publish_ts": _TS,
        "quality_score": pa.float64(),
    },
}


def moment(text: str) -> datetime:
    """A moment of a case; without an offset it is UTC."""
    read = datetime.fromisoformat(text)
    return read.astimezone(UTC) if read.tzinfo else read.replace(tzinfo=UTC)


def landing_day(row: dict[str, Any], timezone: str) -> date:
    """`ds` of a row; without one the business day of its arrival, event or first moment of validity."""
    if "ds" in row:
        return date.fromisoformat(row["ds"])
    text = row.get("arrival_ts") or row.get("event_ts") or row.get("valid_from")
    return moment(str(text)).astimezone(ZoneInfo(timezone)).date()


def write_landing(cases: Sequence[Case], landing: Path, *, timezone: str) -> list[date]:
    """One file per table, day and kind; returns the days that have rows, sorted."""
    files: dict[tuple[str, date, str], list[dict[str, Any]]] = {}
    for case, table, row in _all_rows(cases):
        day = landing_day(row, timezone)
        files.setdefault((table, day, _kind(case, row)), []).append(_landed(case, table, row))
    days = sorted({day for _, day, _ in files})
    for table in ("impressions", "engagements"):
        for day in landed_days(days):
            (landing / table / f"ds={day}").mkdir(parents=True, exist_ok=True)
    for (table, day, kind), rows in files.items():
        folder = landing / table / f"ds={day}"
        folder.mkdir(parents=True, exist_ok=True)
        if kind == "json":
            (folder / "part-json.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in rows), encoding="utf-8")
        else:
            pq.write_table(pa.Table.from_pylist(rows, schema=_schema(table, kind)), folder / f"part-{kind}.parquet")
    return days


def landed_days(days: Sequence[date]) -> list[date]:
    """The days, and after each the one on which its labels are mature."""
    return sorted({*days, *(day + timedelta(days=1) for day in days)})


def _all_rows(cases: Sequence[Case]) -> Iterator[tuple[Case, str, dict[str, Any]]]:
    return ((case, table, row) for case in cases for table in TABLES for row in case.rows[table])


def _kind(case: Case, row: dict[str, Any]) -> str:
    if case.format == "json":
        return "json"
    return "text" if any(isinstance(row.get(c), str) for c in IDS) else "whole"


def _schema(table: str, kind: str) -> pa.Schema:
    columns = _SCHEMAS[table]
    text = {c: pa.string() for c in columns if c in IDS and c != "request_id"} if kind == "text" else {}
    return pa.schema(list({**columns, **text}.items()))


def _landed(case: Case, table: str, row: dict[str, Any]) -> dict[str, Any]:
    made = {c: case.moved(v) if c in IDS else v for c, v in row.items() if c != "ds"}
    unknown = set(made) - set(_SCHEMAS[table])
    assert not unknown, f"{case.name}: {table} has no {unknown}"
    if case.format == "json":
        return made
    stamps = [c for c, kind in _SCHEMAS[table].items() if kind == _TS and made.get(c) is not None]
    return {**made, **{c: moment(made[c]) for c in stamps}}
