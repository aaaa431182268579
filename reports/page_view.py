"""From table rows to what the page says: verdict, cells, shares and sums, still without a tag.

Every function is pure: rows in, plain dicts out, so that the template only places text.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from reports.page_text import cell_text
from reports.read import STATES, ReportTables, Row

__all__ = ["coverage_of", "feature_group", "page_view", "worst_first"]

WORST = 10
"""Features on the first screen."""

_EDGES = (0.99, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2)
_STATISTIC = re.compile(r"^(user|item|author)(_by)?_.*(_\d+[a-z]+|_recency_s)$")


def coverage_of(rows: Iterable[Row]) -> float | None:
    """sum(weight_real + weight_true_zero) / sum(weight) over rows of the coverage table; null where no weight is."""
    covered = total = 0.0
    for row in rows:
        if row["weight"] and None not in (row["weight_real"], row["weight_true_zero"]):
            covered += row["weight_real"] + row["weight_true_zero"]
            total += row["weight"]
    return covered / total if total > 0 else None


def worst_first(rows: Iterable[Row]) -> list[Row]:
    """Rows of one day by coverage, lowest first, those without data before all others."""
    return sorted(rows, key=lambda row: (row["coverage"] is not None, row["coverage"] or 0.0, row["feature"]))


def feature_group(feature: str) -> str:
    """Group guessed from a generated name, where the configuration is not at hand: a coarse one."""
    match = _STATISTIC.match(feature)
    if match:
        return f"{match[1]} by segment" if match[2] else f"{match[1]} statistics"
    prefix = feature.split("_")[0]
    return f"{prefix} profile" if prefix in ("user", "item") else "context"


def page_view(tables: ReportTables, *, sources: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything the template places.

    Parameters
    ----------
    tables : ReportTables
        What `read_report_tables` returned.
    sources : mapping of str to str, optional
        Feature name to its group, in the order to show them. Features that it does not name follow by name, with a
        group guessed from the name; a declared feature without rows is shown as "no data".
    """
    by_day: dict[date, dict[str, Row]] = {day: {} for day in tables.days}
    for row in tables.coverage:
        by_day[row["ds"]][row["feature"]] = row
    features = _features(by_day, dict(sources or {}))
    last = by_day[tables.days[-1]]
    return {
        "ds": tables.days[-1].isoformat(),
        "days": [day.isoformat() for day in tables.days],
        "held": (tables.held[0].isoformat(), tables.held[-1].isoformat()) if tables.held else None,
        "versions": tables.versions,
        "verdict": _verdict(tables, last),
        "overall": _overall(tables, by_day),
        "features": features,
        "groups": sorted({feature["group"] for feature in features}),
        "worst": [_worst(row, by_day, features) for row in worst_first(last.values())[:WORST]],
        "heat": [[_cell(by_day[day].get(feature["name"])) for day in tables.days] for feature in features],
        "states": [_states(last.get(feature["name"])) for feature in features],
        "slices": _slices(tables.slices),
        "sampling": [row for row in _newest_first(tables.rates, "stratum") if row["label"] == "all"],
        "labels": _labels(tables),
        "quarantine": _newest_first(tables.quarantine, "table_name", "reason"),
        "receipts": [_receipt(row) for row in reversed(tables.receipts)],
    }


def _features(by_day: Mapping[date, Mapping[str, Row]], sources: dict[str, str]) -> list[dict[str, Any]]:
    seen = {name for rows in by_day.values() for name in rows}
    groups = sources | {name: feature_group(name) for name in sorted(seen - sources.keys())}
    return [{"index": i, "name": name, "group": group} for i, (name, group) in enumerate(groups.items())]


def _verdict(tables: ReportTables, last: Mapping[str, Row]) -> dict[str, Any]:
    done = {row["job"]: row for row in tables.receipts if row["ds"] == tables.days[-1]}
    publish = done.pop("publish", None)
    words = {"published": "Published", "refused": "Refused"}
    return {
        "state": publish["status"] if publish and publish["status"] in words else "unpublished",
        "text": words.get(publish["status"], "Not published") if publish else "Not published",
        "revision": publish["revision"] if publish else None,
        "at": _moment(publish["ended_at"]) if publish else None,
        "notes": sorted(publish["notes"].items()) if publish else [],
        "done": list(done),
        "refused": sorted(job for job, row in done.items() if row["status"] == "refused"),
        "rows": max((row["rows"] for row in last.values()), default=0),
        "features": len(last),
        "without_data": sum(row["coverage"] is None for row in last.values()),
    }


def _overall(tables: ReportTables, by_day: Mapping[date, Mapping[str, Row]]) -> list[dict[str, Any]]:
    status = {row["ds"]: row["status"] for row in tables.receipts if row["job"] == "publish"}
    return [
        {
            "ds": day.isoformat(),
            "coverage": coverage_of(rows.values()),
            "features": len(rows),
            "rows": max((row["rows"] for row in rows.values()), default=0),
            "weight": max((row["weight"] or 0.0 for row in rows.values()), default=0.0),
            "status": status.get(day, "not published"),
        }
        for day, rows in by_day.items()
    ]


def _worst(row: Row, by_day: Mapping[date, Mapping[str, Row]], features: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The feature, its change since the latest earlier day with data, and the state that costs it most."""
    earlier = [
        rows[row["feature"]]["coverage"] for day, rows in by_day.items() if day < row["ds"] and row["feature"] in rows
    ]
    before = next((share for share in reversed(earlier) if share is not None), None)
    lost = {state: row[f"weight_{state}"] or 0.0 for state in STATES[2:]}
    state = max(lost, key=lambda name: lost[name])
    share = lost[state] / row["weight"] if row["weight"] else None
    index = next(feature["index"] for feature in features if feature["name"] == row["feature"])
    known = row["coverage"] is not None and before is not None
    return {
        **features[index],
        "coverage": row["coverage"],
        "change": round((row["coverage"] - before) * 100, 1) + 0.0 if known else None,
        "state": state if share else None,
        "share": share,
    }


def _cell(row: Row | None) -> dict[str, str]:
    share = row["coverage"] if row else None
    level = "n" if share is None else str(sum(share < edge for edge in _EDGES))
    return {"text": cell_text(share), "level": level, "why": _why(row)}


def _why(row: Row | None) -> str:
    if row is None:
        return "no row in the coverage table"
    return f"{row['rows']:,} rows" if row["coverage"] is not None else f"no data: {row['rows']:,} rows"


def _states(row: Row | None) -> dict[str, Any] | None:
    """Weighted shares and rows of each state, and where each piece of the bar stands on 0..100; None without data."""
    if row is None or not row["weight"]:
        return None
    parts, x = [], 0.0
    for state in STATES:
        share = (row[f"weight_{state}"] or 0.0) / row["weight"]
        parts.append(
            {
                "state": state,
                "share": share,
                "rows": row[f"rows_{state}"],
                "x": f"{x:.3f}",
                "width": f"{share * 100:.3f}",
            }
        )
        x += share * 100
    return {"parts": parts, "rows": row["rows"], "weight": row["weight"]}


def _slices(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One entry per slice x value of the last day: rows, estimated traffic, coverage and the worst feature."""
    by_value: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in rows:
        by_value[row["slice"], row["value"]].append(row)
    found = []
    for (name, value), group in sorted(by_value.items(), key=lambda item: (item[0][0], item[0][1] or "")):
        worst = next((row for row in worst_first(group) if row["coverage"] is not None), None)
        found.append(
            {
                "slice": name,
                "value": value,
                "rows": max(row["rows"] for row in group),
                "weight": max(row["weight"] or 0.0 for row in group),
                "coverage": coverage_of(group),
                "worst": worst["feature"] if worst else None,
                "worst_coverage": worst["coverage"] if worst else None,
            }
        )
    return found


def _labels(tables: ReportTables) -> dict[str, Any]:
    """Share of mature rows with each label per day: seen of the label over seen of 'all', strata summed."""
    seen: dict[tuple[date, str], int] = defaultdict(int)
    for row in tables.rates:
        seen[row["ds"], row["label"]] += row["seen"]
    names = sorted({label for _, label in seen} - {"all"})
    rows = []
    for day in tables.days:
        total = seen.get((day, "all"), 0)
        rates = [seen[day, name] / total if total and (day, name) in seen else None for name in names]
        rows.append({"ds": day.isoformat(), "seen": total, "rates": rates})
    return {"names": names, "rows": rows}


def _newest_first(rows: Iterable[Row], *keys: str) -> list[Row]:
    by_name = sorted(rows, key=lambda row: tuple(str(row[key]) for key in keys))
    return sorted(by_name, key=lambda row: row["ds"], reverse=True)


def _receipt(row: Row) -> dict[str, Any]:
    """One receipt with its seconds and whether its rows add up (S13)."""
    parts = ("rows_out", "rows_quarantined", "rows_duplicate", "rows_sampled_out", "rows_immature")
    gap = row["rows_in"] - sum(row[part] for part in parts)
    seconds = (row["ended_at"] - row["started_at"]).total_seconds()
    return {
        **row,
        "gap": gap,
        "seconds": seconds,
        "started": _moment(row["started_at"]),
        "notes": sorted(row["notes"].items()),
    }


def _moment(when: Any) -> str:
    return str(when.strftime("%Y-%m-%d %H:%M UTC"))
