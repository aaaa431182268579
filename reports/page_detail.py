"""What the page unpacks when it is asked for: every feature by day and by slice, in as few bytes as they take.

Shares are whole numbers of 0.01 %, of which 0 and 10000 mean none and all, exactly. Long series of whole numbers are texts
(`coded`), which deflate to half of what digits would take. All is JSON, deflated, base64.
"""

import base64
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.page_bins import histogram
from reports.page_delta import Row
from reports.page_features import shares_of
from reports.page_slices import SliceCells
from reports.page_text import shown
from reports.page_worse import ByDay
from reports.read import QUANTILES, STATES, ReportTables

__all__ = ["coded", "detail_of", "packed", "units_of"]

_UNIT = 10_000
_FACTS = (
    "group",
    "source",
    "entity",
    "segment",
    "window",
    "aggregate",
    "type",
    "unit",
    "definition",
    "default",
    "tolerance",
)
_MEASURES = ("mean", "std", "min", "max", "distinct", "top_share", "rows_infinite", "effective_rows", "psi", "js")
_TOP = 20
"""Values of text that are listed."""

_NULL, _FIRST = "!", ord("#")
_LEAST, _GREATEST = -12_000, 15_000
"""Whole numbers that `coded` can hold, no step among which is a surrogate; those beyond become these."""

Floats = NDArray[np.float64]


def packed(data: Any) -> str:
    """JSON as base64 of its zlib stream, which the page's DecompressionStream("deflate") reads."""
    text = json.dumps(data, separators=(",", ":"), sort_keys=True, allow_nan=False, ensure_ascii=False)
    return base64.b64encode(zlib.compress(text.encode("utf-8"), 9)).decode("ascii")


def coded(values: Floats) -> str:
    """Whole numbers (N,) as N characters: "!" for NaN, else the difference from the number before, folded to 0, -1, 1, -2, ...

    >>> coded(np.array([5.0, 5.0, np.nan, 4.0]))
    "-#!$"
    """
    known = np.isfinite(values)
    whole = np.clip(np.rint(values[known]), _LEAST, _GREATEST).astype(np.int64)
    steps = np.diff(whole, prepend=0)
    folded = iter(np.where(steps < 0, -2 * steps - 1, 2 * steps).tolist())
    return "".join(chr(_FIRST + next(folded)) if there else _NULL for there in known)


def units_of(shares: Floats) -> Floats:
    """Shares (S, N) of six states as whole numbers of 0.01 % that sum to 10000; one that is there is never 0; NaN stays."""
    units = np.where(shares > 0, np.maximum(np.rint(shares * _UNIT), 1.0), shares * 0.0)
    greatest = np.argmax(np.nan_to_num(shares), axis=0)
    np.put_along_axis(
        units, greatest[None], np.take_along_axis(units, greatest[None], 0) + _UNIT - units.sum(axis=0), 0
    )
    return units


def detail_of(
    tables: ReportTables,
    features: Sequence[Mapping[str, Any]],
    *,
    days: ByDay,
    slices: SliceCells | None,
    facts: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Slice values once, and one entry per feature of `features`, in their order (page_features.feature_list)."""
    places = {name: i for i, name in enumerate(slices.features)} if slices else {}
    made = []
    for feature in features:
        name = feature["name"]
        entry = {
            "days": _by_day([days.get(day, {}).get(name) for day in tables.days]),
            "now": _now(feature["row"], tables.today.get(name, {})),
            "facts": _facts(facts.get(name, {})),
            "slices": _by_slice(slices, places[name]) if slices and name in places else None,
        }
        made.append(entry | _values(tables.values.get(name, []), tables.days[-1]))
    return {"slices": _slice_values(slices), "features": made}


def _number(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")


def _coded_states(shares: Floats) -> list[str]:
    """Five of the six states: what is missing to 10000 is real."""
    return [coded(row) for row in units_of(shares)[1:]]


def _by_day(rows: Sequence[Row | None]) -> dict[str, Any]:
    """Shares by state, quantiles (three digits, as bins have) and drift, each one entry per day."""
    shares = [shares_of(row) for row in rows]
    known = any(row and row["q50"] is not None for row in rows)
    return {
        "states": _coded_states(np.array([[one[state] if one else np.nan for one in shares] for state in STATES])),
        "quantiles": [[_number(row[q], 3) if row else None for row in rows] for q in QUANTILES] if known else None,
        "psi": coded(np.array([_thousandths(row["psi"] if row else None) for row in rows])),
    }


def _thousandths(value: float | None) -> float:
    return np.nan if value is None else value * 1000


def _now(row: Row | None, today: Row) -> dict[str, Any]:
    """Figures of the last day; empty where it has no row."""
    if row is None:
        return {}
    both = {**today, **row}
    figures: dict[str, Any] = {name: both.get(name) for name in _MEASURES}
    figures["states"] = [[both.get(f"rows_{state}"), both[f"weight_{state}"]] for state in STATES]
    interval = [both.get(f"coverage_change{end}") for end in ("", "_low", "_high")]
    figures |= {"rows": row["rows"], "weight": row["weight"], "change": interval}
    first = both.get("first_ds")
    reference = both.get("reference")
    return figures | {"first": first and first.isoformat(), "reference": reference and shown(reference)}


def _facts(known: Mapping[str, Any]) -> dict[str, Any]:
    """What is declared of a feature as texts, its lineage, where its loss comes from, what is suggested and filled."""
    made: dict[str, Any] = {key: shown(str(known[key])) for key in _FACTS if known.get(key) is not None}
    made["lineage"] = [[shown(str(one.get(key))) for key in ("table", "kind")] for one in known.get("lineage") or []]
    for key in ("blame", "suggestion", "filled"):
        part = {name: value for name, value in (known.get(key) or {}).items() if value is not None}
        made[key] = {name: value if _is_number(value) else shown(str(value)) for name, value in part.items()}
    return made


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _values(rows: Sequence[Row], last: date) -> dict[str, Any]:
    """Bars of a number or commonest values of text, the last day beside the days before it."""
    now = [row for row in rows if row["ds"] == last]
    before = [row for row in rows if row["ds"] < last]
    span = (
        [min(row["ds"] for row in before).isoformat(), max(row["ds"] for row in before).isoformat()] if before else None
    )
    return {"bars": histogram(now, before), "top": _top(now, before), "against": span}


def _top(now: Sequence[Row], before: Sequence[Row]) -> list[tuple[str, float, float | None]] | None:
    """(text, share of the weight that has a value now, the same before) of the commonest values of text."""
    today, earlier = _listed(now), _listed(before)
    total, old = (
        sum((row["weight_real"] or 0) + (row["weight_true_zero"] or 0) for row in rows) for rows in (now, before)
    )
    if not today or not total:
        return None
    return [
        (shown(value), round(weight / total, 4), round(earlier.get(value, 0.0) / old, 4) if old else None)
        for value, weight in list(today.items())[:_TOP]
    ]


def _listed(rows: Sequence[Row]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in rows:
        for value, weight in zip(row["top_values"] or [], row["top_weights"] or [], strict=False):
            found[value] = found.get(value, 0.0) + weight
    return found


def _slice_values(slices: SliceCells | None) -> list[list[Any]]:
    if slices is None:
        return []
    columns = (slices.slices, slices.values, slices.rows.tolist(), slices.weight.tolist())
    return [[name, value, int(rows), round(weight)] for name, value, rows, weight in zip(*columns, strict=True)]


def _by_slice(slices: SliceCells, at: int) -> dict[str, Any]:
    """One entry per slice value: shares, drift in thousandths, change of coverage and how far its interval reaches below and above."""
    cells = slices.cells
    change, low, high = (cells[f"coverage_change{end}"][at] * _UNIT for end in ("", "_low", "_high"))
    return {
        "states": _coded_states(np.stack([slices.share(state)[at] for state in STATES])),
        "psi": coded(cells["psi"][at] * 1000),
        "change": coded(change),
        "below": coded(change - low),
        "above": coded(high - change),
    }
