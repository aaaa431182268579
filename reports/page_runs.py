"""What the runs left behind: label rates and rows kept by day, refused rows, late arrivals, receipts."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from reports.page_delta import Row
from reports.page_text import brief, shown

__all__ = ["kept_by_day", "label_rates", "late_arrivals", "noted", "receipt_lines", "refused_reasons", "strata"]

_LATE = re.compile(r"^(\w+)\.(late\w*)$")


def label_rates(rates: Sequence[Row], days: Sequence[date]) -> dict[str, Any]:
    """Share of mature rows with each label per day: seen of the label over seen of 'all', strata summed."""
    seen: dict[tuple[date, str], int] = defaultdict(int)
    for row in rates:
        seen[row["ds"], row["label"]] += row["seen"]
    names = sorted({label for _, label in seen} - {"all"})
    rows = []
    for day in days:
        total = seen.get((day, "all"), 0)
        values = [seen[day, name] / total if total and (day, name) in seen else None for name in names]
        rows.append({"ds": day.isoformat(), "seen": total, "rates": values})
    return {"names": [shown(name) for name in names], "rows": rows}


def strata(rates: Iterable[Row], *, ds: date) -> list[Row]:
    """Rows seen and kept of every stratum on one day, by name."""
    found = [row for row in rates if row["ds"] == ds and row["label"] == "all"]
    return sorted(({**row, "stratum": shown(row["stratum"])} for row in found), key=lambda row: row["stratum"])


def kept_by_day(rates: Iterable[Row], days: Sequence[date]) -> dict[str, Any]:
    """Realised rate of every stratum by day, and whether its p-value refuses the day (S29)."""
    found = {(row["ds"], row["stratum"]): row for row in rates if row["label"] == "all"}
    names = sorted({stratum for _, stratum in found}, key=shown)
    rows = [
        {
            "ds": day.isoformat(),
            "rates": [found[day, name]["realised_rate"] if (day, name) in found else None for name in names],
            "off": [is_off(found.get((day, name))) for name in names],
        }
        for day in days
    ]
    return {"names": [shown(name) for name in names], "rows": rows}


def is_off(row: Row | None) -> bool:
    """Whether a realised rate is outside what chance allows (S29)."""
    return row is not None and row["p_value"] is not None and row["p_value"] < 1e-6


def refused_reasons(quarantine: Iterable[Row], days: Sequence[date]) -> list[dict[str, Any]]:
    """One entry per table and reason: rows on the last day, the median and the greatest of the days before, days, total."""
    counts: dict[tuple[str, str], dict[date, int]] = defaultdict(lambda: defaultdict(int))
    for row in quarantine:
        counts[shown(row["table_name"]), shown(row["reason"])][row["ds"]] += row["rows"]
    found = []
    for (table, reason), by_day in counts.items():
        earlier = [by_day.get(day, 0) for day in days[:-1]]
        entry = {"table": table, "reason": reason, "now": by_day.get(days[-1], 0), "total": sum(by_day.values())}
        entry |= {"median": statistics.median_low(earlier) if earlier else None, "most": max(earlier, default=None)}
        found.append(entry | {"days": sum(1 for rows in by_day.values() if rows)})
    return sorted(found, key=lambda entry: (-entry["now"], -entry["total"], entry["table"], entry["reason"]))


def late_arrivals(receipts: Iterable[Row]) -> list[dict[str, Any]]:
    """Late rows that receipts of `ingest` noted (`<table>.late...`), by day, newest first; share is of the rows read."""
    found = []
    for row in receipts:
        notes = row["notes"] if row["job"] == "ingest" else {}
        for key in sorted(notes):
            match = _LATE.match(key)
            if match and notes[key].isdigit():
                read = notes.get(f"{match[1]}.rows_in", "")
                rows = int(notes[key])
                share = rows / int(read) if read.isdigit() and int(read) else None
                entry = {"ds": row["ds"].isoformat(), "table": shown(match[1]), "kind": shown(match[2])}
                found.append(entry | {"rows": rows, "share": share})
    return sorted(found, key=lambda entry: entry["ds"], reverse=True)


def receipt_lines(receipts: Iterable[Row]) -> list[dict[str, Any]]:
    """Receipts, newest first, each with its seconds and whether its rows add up (S13)."""
    return [_line(row) for row in reversed(list(receipts))]


def _line(row: Row) -> dict[str, Any]:
    parts = ("rows_out", "rows_quarantined", "rows_duplicate", "rows_sampled_out", "rows_immature")
    counted = {name: row[name] for name in ("revision", "rows_in", *parts)}
    return {
        "ds": row["ds"].isoformat(),
        "job": shown(row["job"]),
        "status": shown(row["status"]),
        **counted,
        "gap": row["rows_in"] - sum(row[part] for part in parts),
        "seconds": round((row["ended_at"] - row["started_at"]).total_seconds(), 1),
        "started": f"{row['started_at']:%Y-%m-%d %H:%M} UTC",
        "notes": noted(row["notes"]),
    }


def noted(notes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Notes in the order of their names, long ones cut."""
    return [(shown(key), shown(brief(value))) for key, value in sorted(notes.items())]
