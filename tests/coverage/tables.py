"""Coverage tables written by hand, as the job would: one call writes days of features."""

from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql.pandas.types import to_arrow_schema

from features.states import STATES
from headrace.config import Config
from schemas.coverage import COVERAGE

__all__ = ["cell", "write_coverage"]


def cell(feature: str, ds: date, **over: Any) -> dict[str, Any]:
    """1,000 rows of weight 10,000, all real; `states` gives the share of each, `rows` scales."""
    states = {"real": 1.0} | over.pop("states", {})
    states["real"] = 1.0 - sum(share for name, share in states.items() if name != "real")
    rows = over.pop("rows", 1000)
    made: dict[str, Any] = {"feature": feature, "type": "double", "slice": "all", "value": "all", "ds": ds}
    made |= {
        "rows": rows,
        "weight": rows * 10.0,
        "effective_rows": float(rows),
        "rows_infinite": 0,
        "weight_infinite": 0.0,
    }
    for state in STATES:
        share = states.get(state, 0.0)
        made |= {f"rows_{state}": round(rows * share), f"weight_{state}": rows * 10.0 * share}
    covered = states["real"] + states.get("true_zero", 0.0)
    return made | {"coverage": covered if rows else None} | over


def write_coverage(config: Config, rows: list[dict[str, Any]], *, mode: str = "overwrite") -> None:
    """Rows of the coverage table; columns not given are null."""
    table = pa.Table.from_pylist(rows, schema=to_arrow_schema(COVERAGE.schema))
    write_deltalake(f"{config.root}/coverage", table, partition_by=["ds"], mode=mode)  # type: ignore[call-overload]
