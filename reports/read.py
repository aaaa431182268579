"""What the report reads: a few days of coverage, receipts, sampling rates and quarantine, as plain rows.

No Spark. Every number that is not finite becomes None here, so that nothing after this module meets a NaN.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from headrace.errors import ConfigError, InputError

__all__ = ["STATES", "ReportTables", "Row", "days_ending", "read_coverage", "read_report_tables"]

Row = dict[str, Any]

STATES = ("real", "true_zero", "default_filled", "null", "stale", "no_entity")
"""The six states of a cell, in the order of docs/design.md, section 6."""

_COVERAGE = (
    "ds", "feature", "slice", "value", "rows", "weight", "coverage",
    *(f"rows_{state}" for state in STATES), *(f"weight_{state}" for state in STATES),
)  # fmt: skip
_RATES = ("ds", "stratum", "label", "seen", "kept", "nominal_rate", "realised_rate", "p_value")
_RECEIPTS = (
    "ds", "job", "revision", "status", "rows_in", "rows_out", "rows_quarantined", "rows_duplicate",
    "rows_sampled_out", "rows_immature", "notes", "started_at", "ended_at",
)  # fmt: skip
_QUARANTINE = ("ds", "table_name", "reason")


@dataclass(frozen=True)
class ReportTables:
    """Rows of every table that the report shows, for the days asked for.

    Attributes
    ----------
    days : tuple of date
        Every day asked for, oldest first, whether or not it has rows.
    coverage : list of dict
        Slice "all" of all days.
    slices : list of dict
        The other slices of the last day.
    rates, receipts : list of dict
        sampling_rates and receipts; of receipts only the highest revision of each job and day.
    quarantine : list of dict
        One row per ds x table_name x reason with its count `rows`.
    held : tuple of date
        Days that the coverage table holds, asked for or not; empty where the table is not partitioned by ds.
    versions : dict
        Table name to Delta version read; None for a table that does not exist.
    """

    days: tuple[date, ...]
    coverage: list[Row]
    slices: list[Row]
    rates: list[Row]
    receipts: list[Row]
    quarantine: list[Row]
    held: tuple[date, ...]
    versions: dict[str, int | None]


def days_ending(last: date, *, days: int) -> tuple[date, ...]:
    """The `days` days that end with `last`, oldest first.

    Raises
    ------
    ConfigError
        Fewer than one day, or more than the calendar has.
    """
    if not 1 <= days <= (last - date.min).days + 1:
        raise ConfigError(
            "report: days",
            found=str(days),
            wanted=f"a number of days, 1 or more, that end with {last}",
            remedy="change --days",
        )
    return tuple(last - timedelta(days=back) for back in reversed(range(days)))


def read_report_tables(root: str, *, last: date, days: int) -> ReportTables:
    """Read what the report shows of the `days` days that end with `last`.

    Parameters
    ----------
    root : str
        Path or URI that holds the Delta tables.
    last : date
        The day of the verdict.
    days : int
        Number of days, 1 or more.

    Raises
    ------
    ConfigError
        `days` is below 1.
    InputError
        There is no coverage table, or a table lacks a column that the report needs. The other tables may be absent.
    """
    span = days_ending(last, days=days)
    coverage = _open(root, "coverage")
    if coverage is None:
        raise _no_coverage(root, last)
    others = {name: _open(root, name) for name in ("sampling_rates", "receipts", "quarantine")}
    receipts = _rows(others["receipts"], "receipts", columns=_RECEIPTS, days=span)
    return ReportTables(
        days=span,
        coverage=_rows(coverage, "coverage", columns=_COVERAGE, days=span, whole=True),
        slices=_rows(coverage, "coverage", columns=_COVERAGE, days=span[-1:], whole=False),
        rates=_rows(others["sampling_rates"], "sampling_rates", columns=_RATES, days=span),
        receipts=_latest(receipts),
        quarantine=_refused(others["quarantine"], days=span),
        held=_held(coverage),
        versions={name: None if t is None else t.version() for name, t in {"coverage": coverage, **others}.items()},
    )


def read_coverage(root: str, *, ds: date) -> list[Row]:
    """Rows of the coverage table of one day, slice "all": one per feature.

    Raises
    ------
    InputError
        There is no coverage table.
    """
    coverage = _open(root, "coverage")
    if coverage is None:
        raise _no_coverage(root, ds)
    return _rows(coverage, "coverage", columns=_COVERAGE, days=(ds,), whole=True)


def _no_coverage(root: str, last: date) -> InputError:
    return InputError(
        f"{root}/coverage",
        found="no such Delta table",
        wanted="the coverage table that a run leaves behind",
        remedy=f"build the day first: headrace run --config <your config> --ds {last}; or check root in the config",
    )


def _open(root: str, name: str) -> Any | None:
    """The DeltaTable, or None where there is none."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(f"{root.rstrip('/')}/{name}")
    except TableNotFoundError:
        return None


def _filter(days: tuple[date, ...], *, whole: bool | None) -> Any:
    """Arrow expression for a span of days; `whole` keeps (True) or drops (False) the slice "all"."""
    import pyarrow.compute as pc

    wanted = (pc.field("ds") >= pc.scalar(days[0])) & (pc.field("ds") <= pc.scalar(days[-1]))
    if whole is None:
        return wanted
    return wanted & ((pc.field("slice") == "all") if whole else (pc.field("slice") != "all"))


def _rows(
    table: Any | None, name: str, *, columns: tuple[str, ...], days: tuple[date, ...], whole: bool | None = None
) -> list[Row]:
    if table is None:
        return []
    dataset = _dataset(table, name, columns)
    found = dataset.to_table(columns=list(columns), filter=_filter(days, whole=whole))
    return [{key: _finite(value) for key, value in row.items()} for row in found.to_pylist()]


def _dataset(table: Any, name: str, columns: tuple[str, ...]) -> Any:
    from headrace.delta import open_dataset

    dataset = open_dataset(table.table_uri)
    missing = [column for column in columns if column not in dataset.schema.names]
    if missing:
        raise InputError(
            name,
            found=f"no column {', '.join(missing)}",
            wanted="the columns of schemas/tables.py",
            remedy="build the table again with this version: headrace run --rebuild",
        )
    return dataset


def _refused(table: Any | None, *, days: tuple[date, ...]) -> list[Row]:
    """Counts per ds x table x reason, batch by batch: quarantine may hold many rows."""
    if table is None:
        return []
    counts: Counter[tuple[Any, ...]] = Counter()
    dataset = _dataset(table, "quarantine", _QUARANTINE)
    for batch in dataset.to_batches(columns=list(_QUARANTINE), filter=_filter(days, whole=None)):
        counts.update(_counted(batch))
    return [dict(zip((*_QUARANTINE, "rows"), (*key, count), strict=True)) for key, count in counts.items()]


def _counted(batch: Any) -> Mapping[tuple[Any, ...], int]:
    import pyarrow as pa

    grouped = pa.Table.from_batches([batch]).group_by(list(_QUARANTINE)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(row[name] for name in _QUARANTINE): row["count_all"] for row in grouped}


def _latest(receipts: Iterable[Row]) -> list[Row]:
    """The highest revision of each job and day, in the order they ran."""
    best: dict[tuple[date, str], Row] = {}
    for row in receipts:
        key = (row["ds"], row["job"])
        if key not in best or row["revision"] > best[key]["revision"]:
            best[key] = {**row, "notes": dict(row["notes"] or [])}
    return sorted(best.values(), key=lambda row: (row["ds"], row["started_at"], row["job"]))


def _held(table: Any) -> tuple[date, ...]:
    if "ds" not in table.metadata().partition_columns:
        return ()
    return tuple(sorted(set(_partition_days(table.partitions()))))


def _partition_days(partitions: Iterable[Mapping[str, Any]]) -> Iterator[date]:
    for partition in partitions:
        ds = partition.get("ds")
        if ds is not None:
            yield ds if isinstance(ds, date) else date.fromisoformat(str(ds))


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
