"""Delta tables of coverage, gates and receipts as the jobs write them, without a job: schemas are those of schemas/."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from headrace.config import Config, load_config
from reports.read import STATES
from schemas.coverage import COVERAGE, GATE_RESULTS

__all__ = ["DAY", "config_of", "coverage_days", "covered", "day_before", "failed", "receipt", "write"]

DAY = date(2026, 3, 14)
_TINY = Path(__file__).parents[1] / "data" / "tiny.yaml"
_MAP = pa.map_(pa.string(), pa.string())
_RECEIPTS = pa.schema(
    [("job", pa.string()), ("revision", pa.int32()), ("status", pa.string()), ("notes", _MAP)]
    + [(f"rows_{part}", pa.int64()) for part in ("in", "out", "quarantined", "duplicate", "sampled_out", "immature")]
    + [("started_at", pa.timestamp("us", "UTC")), ("ended_at", pa.timestamp("us", "UTC")), ("ds", pa.date32())]
)
_SCHEMAS = {
    "coverage": to_arrow_schema(COVERAGE.schema),
    "gate_results": to_arrow_schema(GATE_RESULTS.schema),
    "receipts": _RECEIPTS,
}


def config_of(folder: Path, *settings: str) -> Config:
    """The tests' configuration over the tables of `folder`."""
    return load_config(_TINY, settings=[f"landing={folder}/landing", f"root={folder}", *settings])


def day_before(number: int) -> date:
    """The day so many days before DAY."""
    return DAY - timedelta(days=number)


def write(root: Path, name: str, rows: Sequence[Mapping[str, Any]], *, schema: pa.Schema | None = None) -> None:
    """Append rows to one table, partitioned by ds; columns not given are null."""
    asked = schema or _SCHEMAS[name]
    loose = pa.schema([field.with_nullable(True) for field in asked])
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=loose)
    write_deltalake(str(root / name), table, partition_by=["ds"], mode="append")


def covered(feature: str, *, real: float = 0.9, ds: date = DAY, **over: Any) -> dict[str, Any]:
    """1000 rows of weight 10 in slice "all": `real` of them real, the others null."""
    made: dict[str, Any] = {"feature": feature, "slice": "all", "value": "all", "ds": ds}
    made |= {"rows": 1000, "weight": 10_000.0, "effective_rows": 1000.0, "coverage": real}
    made |= dict.fromkeys([f"rows_{state}" for state in STATES], 0) | dict.fromkeys(
        [f"weight_{s}" for s in STATES], 0.0
    )
    made |= {"rows_real": round(1000 * real), "rows_null": round(1000 * (1 - real))}
    return made | {"weight_real": 10_000 * real, "weight_null": 10_000 * (1 - real)} | over


def coverage_days(feature: str, *, low: Mapping[int, float], days: int = 8, **over: Any) -> list[dict[str, Any]]:
    """Coverage 0.9 on `days` days up to DAY, but `low` by days before DAY."""
    return [covered(feature, real=low.get(n, 0.9), ds=day_before(n), **over) for n in range(days)]


def receipt(job: str, *, ds: date = DAY, notes: Mapping[str, Any] | None = None, **over: Any) -> dict[str, Any]:
    """A done receipt, revision 1."""
    start = datetime(2026, 3, 15, 1, tzinfo=UTC)
    made: dict[str, Any] = {"job": job, "revision": 1, "status": "done", "ds": ds}
    made |= {"notes": [(key, str(value)) for key, value in (notes or {}).items()], "rows_in": 10, "rows_out": 10}
    made |= dict.fromkeys(("rows_quarantined", "rows_duplicate", "rows_sampled_out", "rows_immature"), 0)
    return made | {"started_at": start, "ended_at": start + timedelta(seconds=90)} | over


def failed(**over: Any) -> dict[str, Any]:
    """A row of gate_results: one cell that failed a floor of coverage."""
    made: dict[str, Any] = {"revision": 1, "rule": "coverage fell", "severity": "critical", "metric": "coverage"}
    made |= {"feature": "user_click_rate_7d", "slice": "all", "value": "all", "observed": 0.41, "wanted_low": 0.9}
    return made | {"checked": 1, "failed": 1, "ds": DAY} | over
