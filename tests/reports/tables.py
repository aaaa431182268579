"""Small Delta tables for the report's tests: one call writes one table."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from reports.bins import BITS_OF_WHOLE, bin_codes
from reports.read import QUANTILES, STATES

__all__ = ["DAY", "coverage_row", "gate_row", "numbers", "receipt_row", "write_rows"]

DAY = date(2026, 3, 14)

_NOTES = pa.map_(pa.string(), pa.string())
_SCHEMAS = {
    "coverage": pa.schema(
        [("feature", pa.string()), ("slice", pa.string()), ("value", pa.string())]
        + [("rows", pa.int64()), ("weight", pa.float64())]
        + [(f"rows_{state}", pa.int64()) for state in STATES]
        + [(f"weight_{state}", pa.float64()) for state in STATES]
        + [(name, pa.float64()) for name in ("coverage", "mean", "std", "min", "max")]
        + [("ds", pa.date32())]
    ),
    "receipts": pa.schema(
        [("job", pa.string()), ("revision", pa.int32()), ("status", pa.string()), ("notes", _NOTES)]
        + [
            (f"rows_{part}", pa.int64())
            for part in ("in", "out", "quarantined", "duplicate", "sampled_out", "immature")
        ]
        + [("started_at", pa.timestamp("us", "UTC")), ("ended_at", pa.timestamp("us", "UTC")), ("ds", pa.date32())]
    ),
    "sampling_rates": pa.schema(
        [("stratum", pa.string()), ("label", pa.string()), ("seen", pa.int64()), ("kept", pa.int64())]
        + [(name, pa.float64()) for name in ("nominal_rate", "realised_rate", "p_value")]
        + [("ds", pa.date32())]
    ),
    "gate_results": pa.schema(
        [("revision", pa.int32())]
        + [(name, pa.string()) for name in ("rule", "severity", "metric", "feature", "slice", "value", "accepted")]
        + [(name, pa.float64()) for name in ("observed", "wanted_low", "wanted_high", "median")]
        + [("since", pa.date32()), ("checked", pa.int64()), ("failed", pa.int64()), ("ds", pa.date32())]
    ),
    "quarantine": pa.schema(
        [(name, pa.string()) for name in ("table_name", "reason", "row_json", "source_file")] + [("ds", pa.date32())]
    ),
}
_LATER = pa.schema(
    [(name, pa.float64()) for name in (*QUANTILES, "psi", "js", "effective_rows", "top_share")]
    + [(name, pa.float64()) for name in ("coverage_change", "coverage_change_low", "coverage_change_high")]
    + [("distinct", pa.int64()), ("rows_infinite", pa.int64()), ("reference", pa.string()), ("first_ds", pa.date32())]
    + [("top_values", pa.list_(pa.string())), ("top_weights", pa.list_(pa.float64()))]
    + [("bins", pa.list_(pa.int32())), ("bin_weights", pa.list_(pa.float64()))]
)
"""Columns of coverage that older tables lack: they are written where a row has one."""


def write_rows(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Append rows to one table, partitioned by ds; columns not given are null."""
    schema = _SCHEMAS[name]
    if name == "coverage" and any(row.keys() & set(_LATER.names) for row in rows):
        schema = pa.schema([*schema, *_LATER])
    table = pa.Table.from_pylist(rows, schema=schema)
    write_deltalake(str(root / name), table, partition_by=["ds"], mode="append", schema_mode="merge")


def coverage_row(feature: str, **over: Any) -> dict[str, Any]:
    """100 rows of weight 10: 40 real, 20 true_zero, 20 default_filled, 10 null, 5 stale, 5 no_entity."""
    counts = dict(zip(STATES, (40, 20, 20, 10, 5, 5), strict=True))
    made: dict[str, Any] = {"feature": feature, "slice": "all", "value": "all", "rows": 100, "weight": 1000.0}
    made |= {f"rows_{state}": count for state, count in counts.items()}
    made |= {f"weight_{state}": count * 10.0 for state, count in counts.items()}
    return made | {"coverage": 0.6, "ds": DAY} | over


def numbers(values: list[float], **over: Any) -> dict[str, Any]:
    """What a coverage row says of these values, each of weight 10: bins, quantiles, drift and a change for the worse."""
    codes, counts = np.unique(bin_codes(np.asarray(values, float), bits=BITS_OF_WHOLE), return_counts=True)
    made: dict[str, Any] = {"bins": codes.tolist(), "bin_weights": (counts * 10.0).tolist(), "psi": 0.3, "js": 0.1}
    made |= {name: float(np.quantile(values, int(name[1:]) / 100)) for name in QUANTILES}
    made |= {"coverage_change": -0.2, "coverage_change_low": -0.3, "coverage_change_high": -0.1, "distinct": 3}
    return (
        made | {"reference": f"{DAY - timedelta(days=7)}..{DAY - timedelta(days=1)} (7 days)", "first_ds": DAY} | over
    )


def gate_row(rule: str, **over: Any) -> dict[str, Any]:
    """A critical failure of feature a in the whole traffic: coverage 0.6, wanted 0.9 at least."""
    made: dict[str, Any] = {"revision": 1, "rule": rule, "severity": "critical", "metric": "coverage", "feature": "a"}
    made |= {
        "slice": "all",
        "value": "all",
        "observed": 0.6,
        "wanted_low": 0.9,
        "since": DAY,
        "checked": 1,
        "failed": 1,
    }
    return made | {"ds": DAY} | over


def receipt_row(job: str, **over: Any) -> dict[str, Any]:
    """A done receipt whose rows add up: 10 in, 9 out, 1 duplicate; 90 seconds."""
    start = datetime(2026, 3, 15, 1, tzinfo=UTC)
    made: dict[str, Any] = {"job": job, "revision": 1, "status": "done", "notes": [], "ds": DAY}
    made |= {"rows_in": 10, "rows_out": 9, "rows_quarantined": 0, "rows_duplicate": 1}
    made |= {"rows_sampled_out": 0, "rows_immature": 0, "started_at": start, "ended_at": start + timedelta(seconds=90)}
    return made | over
