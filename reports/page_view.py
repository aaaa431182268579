"""From tables to what the page says: verdict, cells, shares and sums, still without a tag.

Pure: rows in, plain values out, so that the templates only place text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from reports.page_detail import detail_of
from reports.page_features import Facts, blame_texts, choices, feature_list, heat_cell, line_of
from reports.page_gates import gates_of, verdict_of
from reports.page_runs import kept_by_day, label_rates, late_arrivals, receipt_lines, refused_reasons, strata
from reports.page_slices import SliceCells, slice_cells, slice_rows, worst_slices
from reports.page_text import shown
from reports.page_worse import ByDay, Change, by_day, change_of, coverage_of, worse_features
from reports.read import ReportTables

__all__ = ["page_view"]

RECENT = 7
"""Days whose receipts stand in the page with their notes; older ones are unpacked when asked for."""


@dataclass(frozen=True)
class _Known:
    """What every part of the view needs."""

    tables: ReportTables
    days: ByDay
    changes: Mapping[str, Change]
    features: Sequence[Mapping[str, Any]]
    slices: SliceCells | None

    @property
    def last(self) -> date:
        return self.tables.days[-1]


def page_view(tables: ReportTables, *, facts: Facts | None = None) -> dict[str, Any]:
    """Everything the templates place.

    Parameters
    ----------
    tables : ReportTables
        What `read_report_tables` returned.
    facts : mapping of str to dict, optional
        Feature name to what is known of it (reports.facts.feature_facts), in the order to show them; any key may be missing.
        Features that it does not name follow by name, with a group guessed from the name; a declared feature
        without rows is shown as "no data".
    """
    known = _known(tables, facts or {})
    receipts = receipt_lines(tables.receipts)
    recent = {day.isoformat() for day in tables.days[-RECENT:]}
    detail = detail_of(tables, known.features, days=known.days, slices=known.slices, facts=facts or {})
    return {
        "ds": known.last.isoformat(),
        "days": [day.isoformat() for day in tables.days],
        "held": (tables.held[0].isoformat(), tables.held[-1].isoformat()) if tables.held else None,
        "versions": tables.versions,
        **_first_screen(known, facts or {}),
        "features": known.features,
        **{f"{key}s": choices(known.features, key) for key in ("group", "window")},
        "entities": choices(known.features, "entity"),
        "heat": [[heat_cell(known.days.get(day, {}).get(f["name"])) for day in tables.days] for f in known.features],
        "slices": slice_rows(known.slices),
        "labels": label_rates(tables.rates, tables.days),
        "strata": strata(tables.rates, ds=known.last),
        "kept": kept_by_day(tables.rates, tables.days),
        "quarantine": refused_reasons(tables.quarantine, tables.days),
        "refused": sorted(tables.quarantine, key=lambda row: (row["ds"], str(row["table_name"]), str(row["reason"]))),
        "late": late_arrivals(tables.receipts),
        "receipts": [row for row in receipts if row["ds"] in recent],
        "detail": detail | {"receipts": [row for row in receipts if row["ds"] not in recent]},
    }


def _known(tables: ReportTables, facts: Facts) -> _Known:
    days = by_day(tables.coverage)
    slices = slice_cells(tables.slices)
    names = {*facts, *(name for rows in days.values() for name in rows), *(slices.features if slices else ())}
    last = tables.days[-1]
    changes = {
        name: change_of({day: rows[name]["coverage"] for day, rows in days.items() if name in rows}, last)
        for name in names
    }
    features = feature_list(days, changes, last=last, facts=facts, others=slices.features if slices else ())
    return _Known(tables, days, changes, features, slices)


def _first_screen(known: _Known, facts: Facts) -> dict[str, Any]:
    tables, ds = known.tables, known.last
    publish = next((row for row in tables.receipts if row["job"] == "publish" and row["ds"] == ds), None)
    gates = gates_of(tables.gates, revision=publish["revision"] if publish else None)
    blame = blame_texts(facts)
    worse, more = worse_features(known.days, known.changes, last=ds, blame=blame)
    listed = {feature["name"]: feature for feature in known.features}
    today = known.days.get(ds, {})
    return {
        "verdict": verdict_of(tables.receipts, gates, ds=ds),
        "gates": gates | {"failures": [_linked(row, listed) for row in gates["failures"]]},
        "overall": _overall(tables, known.days),
        "line": line_of([coverage_of(known.days.get(day, {}).values()) for day in tables.days]),
        "change": change_of({day: coverage_of(rows.values()) for day, rows in known.days.items()}, ds),
        "counted": len(today),
        "without_data": sum(row["coverage"] is None for row in today.values()),
        "worse": [_linked(row, listed) for row in worse],
        "worse_more": more,
        "worse_slices": [_linked(row, listed) for row in worst_slices(known.slices)],
    }


def _linked(row: Mapping[str, Any], listed: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A row with the text of its feature, or None, and the link to it where the page has that feature."""
    name = row["feature"]
    found = listed.get(name, {})
    return {**row, "text": found.get("text") or (name and shown(name)), "href": found.get("href")}


def _overall(tables: ReportTables, days: ByDay) -> list[dict[str, Any]]:
    """One entry per day asked for: coverage of all features, their number, rows, estimated traffic, publish."""
    status = {row["ds"]: row["status"] for row in tables.receipts if row["job"] == "publish"}
    found = []
    for day in tables.days:
        rows = list(days.get(day, {}).values())
        found.append(
            {
                "ds": day.isoformat(),
                "coverage": coverage_of(rows),
                "features": len(rows),
                "rows": max((row["rows"] for row in rows), default=0),
                "weight": max((row["weight"] or 0.0 for row in rows), default=0.0),
                "status": status.get(day, "not published"),
            }
        )
    return found
