"""A default for every feature, suggested from what was measured, with the evidence for it. Pure: rows in, plain dicts out.

| kind | for | value |
|---|---|---|
| zero | counts, sums, distinct | 0: a known key without events |
| prior | rates, smoothed rates, means | the population's own rate: of priors_<group>, else the weighted mean of the cells |
| median | other numbers | the weighted median, which a long tail does not move; of a symmetric column it is the mean |
| mode | text and booleans | the commonest value |
| none | lists, and where no value was seen | |
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.config import Cell, Config, Feature, feature_columns, group_cells
from reports.page_delta import Row

__all__ = ["SUGGEST_COLUMNS", "filled", "suggestions"]

SUGGEST_COLUMNS = (
    "ds", "feature", "type", "weight", "rows_default_filled", "weight_default_filled", "weight_real", "weight_true_zero",
    "mean", "std", "min", "max", "q50", "top_values", "top_weights",
)  # fmt: skip
"""Columns of the coverage table that are read."""

_ZERO, _RATES = ("count", "sum", "distinct"), ("rate", "rate_smoothed", "mean")
Suggestion = dict[str, Any]


@dataclass(frozen=True)
class _Merged:
    """Days of one feature together; moments are None where no number was seen.

    Attributes
    ----------
    weight, zero : weight of cells with a value, and of those the measured zeros
    mean, std : pooled over days (Chan et al. 1979)
    median : weighted median of the days' medians
    tops : weight of the commonest texts
    """

    days: int
    weight: float
    zero: float
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    median: float | None
    tops: Counter[str]


def suggestions(
    config: Config, rows: Iterable[Row], *, priors: Mapping[str, Sequence[float]] | None = None
) -> dict[str, Suggestion]:
    """`{"kind", "value", "evidence"}` of every feature, from rows of slice "all" with SUGGEST_COLUMNS of some days.

    Days on which the feature was of another type are left out.

    Parameters
    ----------
    priors : column of priors_<group> -> its values, one a segment value
    """
    by_feature: dict[str, list[Row]] = {}
    for row in rows:
        by_feature.setdefault(row["feature"], []).append(row)
    cells = {cell.name: (name, cell) for name, group in config.features.groups.items() for cell in group_cells(group)}
    smoothed = {_rate(*one): column for column, one in cells.items() if one[1].aggregate == "rate_smoothed"}
    found = {}
    for feature in feature_columns(config):
        of = cells.get(feature.name) if feature.source.startswith("group:") else None
        column = smoothed.get(_rate(*of), "") if of and of[1].aggregate in ("rate", "rate_smoothed") else ""
        alike = [row for row in by_feature.get(feature.name, []) if row["type"] in (None, feature.type)]
        found[feature.name] = _suggestion(feature, of[1] if of else None, _merge(alike), (priors or {}).get(column, ()))
    return found


def _rate(group: str, cell: Cell) -> tuple[Any, ...]:
    """What a rate and its smoothed form share."""
    return group, cell.metric, cell.over, cell.window


def _suggestion(feature: Feature, cell: Cell | None, seen: _Merged, priors: Sequence[float]) -> Suggestion:
    if feature.type.startswith("array"):
        return _said("none", None, "a list has no default: an empty one says that there was nothing")
    if cell is not None and cell.aggregate in _ZERO:
        share = f"{seen.zero / seen.weight:.1%} of the values seen are 0" if seen.weight else "no values seen"
        return _said("zero", 0, f"a known key without events has 0; {share}")
    if seen.weight <= 0:
        return _said("none", None, "no values seen")
    if seen.tops or feature.type in ("string", "boolean"):
        return _mode(feature, seen)
    if cell is not None and cell.aggregate in _RATES:
        return _prior(feature, seen, priors)
    return _median(seen)


def _said(kind: str, value: float | str | bool | None, evidence: str) -> Suggestion:
    return {"kind": kind, "value": value, "evidence": evidence}


def _mode(feature: Feature, seen: _Merged) -> Suggestion:
    if not seen.tops:
        return _said("none", None, "no values were counted: build the coverage of these days again")
    text, weight = min(seen.tops.items(), key=lambda one: (-one[1], one[0]))
    value = text == "true" if feature.type == "boolean" else text
    return _said("mode", value, f"{weight / seen.weight:.1%} of the traffic with a value")


def _prior(feature: Feature, seen: _Merged, priors: Sequence[float]) -> Suggestion:
    table = f"priors_{feature.source.removeprefix('group:')}"
    if len(priors) == 1:
        return _said("prior", priors[0], f"the population's own rate, from {table}")
    if seen.mean is None:
        return _said("none", None, "no numbers seen")
    spread = f"; {table} has {min(priors):.4g} to {max(priors):.4g} by segment" if priors else ""
    return _said("prior", seen.mean, f"mean of the values over the traffic of {_days(seen.days)}{spread}")


def _median(seen: _Merged) -> Suggestion:
    if seen.median is None or seen.mean is None:
        return _said("none", None, "no quantiles were counted: build the coverage of these days again")
    std = seen.std or 0.0
    skewed = abs(seen.mean - seen.median) > std / 4
    shape = "skewed: " if skewed else ""
    evidence = f"{shape}median {seen.median:.4g}, mean {seen.mean:.4g}, standard deviation {std:.4g}"
    return _said(
        "median", seen.median, f"{evidence}, {seen.low or 0:.4g} to {seen.high or 0:.4g} over {_days(seen.days)}"
    )


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"


def _merge(rows: Sequence[Row]) -> _Merged:
    numbers = [(row, _valued(row)) for row in rows if row["mean"] is not None and _valued(row) > 0]
    weight = sum(w for _, w in numbers)
    mean = sum(row["mean"] * w for row, w in numbers) / weight if weight else None
    spread = sum(((row["std"] or 0.0) ** 2 + (row["mean"] - mean) ** 2) * w for row, w in numbers) if weight else 0.0
    tops: Counter[str] = Counter()
    for row in rows:
        tops.update(dict(zip(row["top_values"] or (), row["top_weights"] or (), strict=True)))
    return _Merged(
        days=len(rows),
        weight=sum(map(_valued, rows)),
        zero=sum(row["weight_true_zero"] or 0.0 for row in rows),
        mean=mean,
        std=math.sqrt(spread / weight) if weight else None,
        low=min((row["min"] for row, _ in numbers if row["min"] is not None), default=None),
        high=max((row["max"] for row, _ in numbers if row["max"] is not None), default=None),
        median=_weighted_median([(row["q50"], w) for row, w in numbers if row["q50"] is not None]),
        tops=tops,
    )


def _valued(row: Row) -> float:
    return float((row["weight_real"] or 0.0) + (row["weight_true_zero"] or 0.0))


def _weighted_median(pairs: Sequence[tuple[float, float]]) -> float | None:
    """The least value whose cumulated weight reaches half."""
    half, reached = sum(w for _, w in pairs) / 2, 0.0
    for value, weight in sorted(pairs):
        reached += weight
        if reached >= half:
            return value
    return None


def filled(rows: Iterable[Row]) -> dict[str, dict[str, float]]:
    """What the default in use filled of every feature: cells, their weight, and its share of the traffic of these days."""
    found: dict[str, dict[str, float]] = {}
    totals: dict[str, float] = {}
    for row in rows:
        one = found.setdefault(row["feature"], {"rows": 0, "weight": 0.0, "share": 0.0})
        one["rows"] += row["rows_default_filled"] or 0
        one["weight"] += row["weight_default_filled"] or 0.0
        totals[row["feature"]] = totals.get(row["feature"], 0.0) + (row["weight"] or 0.0)
    for feature, one in found.items():
        one["share"] = one["weight"] / totals[feature] if totals[feature] else 0.0
    return found
