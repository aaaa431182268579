"""What the report reads: a few days of coverage, gates, receipts, sampling rates and quarantine.

No Spark, and of every table only the columns and days that are shown. Numbers that are not finite become None here, so
that nothing after this module meets a NaN; the slices, which are many, stay an Arrow table.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import ConfigError, InputError
from reports.page_delta import Opened, Row, batches, open_table, rows_of, table_of

__all__ = ["QUANTILES", "STATES", "ReportTables", "Row", "days_ending", "read_coverage", "read_report_tables"]

STATES = ("real", "true_zero", "default_filled", "null", "stale", "no_entity")
"""The six states of a cell, in the order of docs/design.md, section 6."""

QUANTILES = ("q01", "q05", "q25", "q50", "q75", "q95", "q99")

BACK = 7
"""Days before the last one that it is compared with, asked for or not."""

_COVERAGE = (
    "ds", "feature", "slice", "value", "rows", "weight", "coverage", *(f"weight_{state}" for state in STATES),
)  # fmt: skip
_HISTORY = ("psi", *QUANTILES)
_TODAY = (
    *(f"rows_{state}" for state in STATES), "mean", "std", "min", "max", "distinct", "top_share",
    "rows_infinite", "effective_rows", "js", "coverage_change", "coverage_change_low", "coverage_change_high", "reference", "first_ds",
)  # fmt: skip
_VALUES = ("top_values", "top_weights", "bins", "bin_weights")
_SLICES = ("feature", "slice", "value", "rows", "weight", "coverage", *(f"weight_{state}" for state in STATES))
_CHANGES = ("psi", "coverage_change", "coverage_change_low", "coverage_change_high")
_RATES = ("ds", "stratum", "label", "seen", "kept", "nominal_rate", "realised_rate", "p_value")
_RECEIPTS = (
    "ds", "job", "revision", "status", "rows_in", "rows_out", "rows_quarantined", "rows_duplicate",
    "rows_sampled_out", "rows_immature", "notes", "started_at", "ended_at",
)  # fmt: skip
_GATES = (
    "revision", "rule", "severity", "metric", "feature", "slice", "value", "observed", "wanted_low", "wanted_high",
    "median", "since", "checked", "failed", "accepted",
)  # fmt: skip
_QUARANTINE = ("ds", "table_name", "reason")
_SPAN = re.compile(r"(\d{4}-\d\d-\d\d)\.\.(\d{4}-\d\d-\d\d)")


@dataclass(frozen=True)
class ReportTables:
    """Rows of every table that the report shows.

    Attributes
    ----------
    days : tuple of date
        Every day asked for, oldest first, whether or not it has rows.
    coverage : list of dict
        Slice "all" of those days and of the 7 before the last. Columns that the table lacks are None.
    today : dict
        Feature to what only the last day shows of it: moments, distinct, change and its interval, reference.
    values : dict
        Feature to its rows of the last day and of its reference days: ds, weight_real, weight_true_zero, bins, top_values
        and their weights.
    slices : pyarrow.Table or None
        The other slices of the last day; None where there is no row.
    rates, receipts : list of dict
        sampling_rates and receipts; of receipts only the highest revision of each job and day.
    gates : list of dict
        gate_results of the last day, all revisions.
    quarantine : list of dict
        One row per ds x table_name x reason with its count `rows`.
    held : tuple of date
        Days that the coverage table holds, asked for or not.
    versions : dict
        Table name to Delta version read; None for a table that does not exist.
    """

    days: tuple[date, ...]
    coverage: list[Row]
    today: dict[str, Row]
    values: dict[str, list[Row]]
    slices: pa.Table | None
    rates: list[Row]
    receipts: list[Row]
    gates: list[Row]
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
    shown = (span[0], last)
    coverage = _coverage_table(root, last)
    others = {name: open_table(root, name) for name in ("gate_results", "sampling_rates", "receipts", "quarantine")}
    today = {row["feature"]: row for row in _whole(coverage, (*_COVERAGE[:4], *_TODAY), days=(last, last))}
    of_day = batches(coverage, columns=_SLICES, optional=_CHANGES, days=(last, last), where=pc.field("slice") != "all")
    return ReportTables(
        days=span,
        coverage=_whole(coverage, (*_COVERAGE, *_HISTORY), days=(min(span[0], _before(last)), last)),
        today=today,
        values=_values(coverage, days=(_first_reference(today, last), last)),
        slices=table_of(of_day),
        rates=rows_of(batches(others["sampling_rates"], columns=_RATES, days=shown)),
        receipts=_latest(rows_of(batches(others["receipts"], columns=_RECEIPTS, days=shown))),
        gates=rows_of(batches(others["gate_results"], columns=_GATES, days=(last, last))),
        quarantine=_refused(others["quarantine"], days=shown),
        held=coverage.days,
        versions={name: table.version if table else None for name, table in {"coverage": coverage, **others}.items()},
    )


def read_coverage(root: str, *, ds: date) -> list[Row]:
    """Rows of the coverage table of one day, slice "all": one per feature.

    Raises
    ------
    InputError
        There is no coverage table.
    """
    return _whole(_coverage_table(root, ds), _COVERAGE, days=(ds, ds))


def _coverage_table(root: str, last: date) -> Opened:
    table = open_table(root, "coverage")
    if table is None:
        raise InputError(
            f"{root}/coverage",
            found="no such Delta table",
            wanted="the coverage table that a run leaves behind",
            remedy=f"build the day first: headrace run --config <your config> --ds {last}; or check root in the config",
        )
    return table


def _before(last: date) -> date:
    return last - timedelta(days=min(BACK, (last - date.min).days))


def _whole(coverage: Opened, columns: tuple[str, ...], *, days: tuple[date, date]) -> list[Row]:
    """Rows of slice "all"; columns that came later than the six states may be absent, and are None then."""
    needed = [name for name in columns if name in _COVERAGE]
    later = [name for name in columns if name not in _COVERAGE]
    where = pc.field("slice") == "all"
    return rows_of(batches(coverage, columns=needed, optional=later, days=days, where=where), absent=later)


def _first_reference(today: Mapping[str, Row], last: date) -> date:
    """First day of what the last one was compared with, as its rows say; else of the 7 days before it."""
    spans = (_SPAN.search(row["reference"] or "") for row in today.values())
    named = [date.fromisoformat(span[1]) for span in spans if span]
    return min([day for day in named if day < last], default=_before(last))


def _values(coverage: Opened, *, days: tuple[date, date]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in _whole(coverage, ("ds", "feature", "slice", "weight_real", "weight_true_zero", *_VALUES), days=days):
        found.setdefault(row["feature"], []).append(row)
    return found


def _refused(table: Opened | None, *, days: tuple[date, date]) -> list[Row]:
    """Counts per ds x table x reason, batch by batch: quarantine may hold many rows."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for batch in batches(table, columns=_QUARANTINE, days=days):
        counts.update(_counted(batch))
    return [dict(zip((*_QUARANTINE, "rows"), (*key, count), strict=True)) for key, count in counts.items()]


def _counted(batch: pa.RecordBatch) -> Mapping[tuple[Any, ...], int]:
    grouped = pa.Table.from_batches([batch]).group_by(list(_QUARANTINE)).aggregate([([], "count_all")]).to_pylist()
    return {tuple(row[name] for name in _QUARANTINE): row["count_all"] for row in grouped}


def _latest(receipts: Iterable[Row]) -> list[Row]:
    """What stands of each job and day, in the order they ran: the highest revision, of a step that is done its end.

    A run that another one overtook (`lost`) is passed over, with its start (headrace/receipts.py).
    """
    rows = list(receipts)
    lost = {(row["ds"], row["job"], row["revision"]) for row in rows if row["status"] == "lost"}
    best: dict[tuple[date, str], Row] = {}
    for row in rows:
        key = (row["ds"], row["job"])
        overtaken = row["status"] in ("lost", "started") and (*key, row["revision"]) in lost
        if not overtaken and (key not in best or _rank(row) > _rank(best[key])):
            best[key] = {**row, "notes": dict(row["notes"] or [])}
    return sorted(best.values(), key=lambda row: (row["ds"], row["started_at"], row["job"]))


def _rank(row: Row) -> tuple[int, bool]:
    return row["revision"], row["status"] != "started"
