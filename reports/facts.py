"""What the report says of a feature beside its numbers: declaration, lineage, blame, suggested default, cells filled."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import pyarrow.compute as pc

from headrace.config import Config, Feature, feature_columns, group_cells
from headrace.durations import duration_name
from reports.blame import BLAME_COLUMNS, blame
from reports.lineage import Lineage, lineage
from reports.page_delta import Row, batches, open_table, rows_of
from reports.read import days_ending
from reports.suggest import SUGGEST_COLUMNS, filled, suggestions

__all__ = ["blame_of_day", "feature_facts"]

_LATER = ("type", "q50", "top_values", "top_weights", "coverage_change_high")  # columns that older tables lack
_NOTHING = {"rows": 0, "weight": 0.0, "share": 0.0}


def feature_facts(config: Config, *, ds: date, days: int) -> dict[str, dict[str, Any]]:
    """Facts of every feature, in the order of the training set's columns; ready for JSON.

    Parameters
    ----------
    ds : day whose fall is explained
    days : days that end with `ds`, for suggestions and cells filled

    Returns
    -------
    feature -> group, source, entity, segment, window, aggregate, type, unit, definition, default, tolerance, lineage
    (tables upstream first), blame (None where coverage did not fall; reports.blame), suggestion (reports.suggest) and
    filled; what a feature has not is None

    Raises
    ------
    ConfigError
        `days` is below 1.
    """
    span = days_ending(ds, days=days)
    rows = _coverage(config.root, first=min(span[0], _first_of_median(config, ds)), last=ds)
    shown = [row for row in rows if row["ds"] >= span[0]]
    blamed, fills = blame(config, rows, ds=ds), filled(shown)
    suggested = suggestions(config, shown, priors=_priors(config, last=ds))
    upstream = lineage(config)
    return {
        feature.name: _declared(config, feature, upstream[feature.name])
        | {
            "blame": blamed.get(feature.name),
            "suggestion": suggested[feature.name],
            "filled": fills.get(feature.name, dict(_NOTHING)),
        }
        for feature in feature_columns(config)
    }


def blame_of_day(config: Config, *, ds: date) -> dict[str, dict[str, Any]]:
    """`reports.blame.blame` of the features that fell on `ds`."""
    return blame(config, _coverage(config.root, first=_first_of_median(config, ds), last=ds), ds=ds)


def _first_of_median(config: Config, ds: date) -> date:
    return ds - timedelta(days=min(config.gates.median_days, (ds - date.min).days))


def _declared(config: Config, feature: Feature, of: Lineage) -> dict[str, Any]:
    declared = config.features.groups[of.group] if of.group else getattr(config.profiles, of.entity, None)
    return {
        "group": of.group or None,
        "source": feature.source,
        "entity": of.entity or None,
        "segment": of.segment or None,
        "window": of.window or None,
        "aggregate": of.aggregate or None,
        "type": feature.type,
        "unit": feature.unit or None,
        "definition": feature.definition,
        "default": feature.default,
        "tolerance": duration_name(declared.tolerance) if declared else None,
        "lineage": of.steps,
    }


def _coverage(root: str, *, first: date, last: date) -> list[Row]:
    wanted = dict.fromkeys(("slice", *BLAME_COLUMNS, *SUGGEST_COLUMNS))
    found = batches(
        open_table(root, "coverage"),
        columns=[name for name in wanted if name not in _LATER],
        optional=_LATER,
        days=(first, last),
        where=pc.field("slice") == "all",
    )
    return rows_of(found, absent=_LATER)


def _priors(config: Config, *, last: date) -> dict[str, Sequence[float]]:
    """Column -> the population's rates of the newest day up to `last` that has them, one a segment value."""
    found: dict[str, Sequence[float]] = {}
    for name, group in config.features.groups.items():
        smoothed = [cell.name for cell in group_cells(group) if cell.aggregate == "rate_smoothed"]
        table = open_table(config.root, f"priors_{name}") if smoothed else None
        days = [day for day in table.days if day <= last] if table else []
        if days:
            rows = rows_of(batches(table, columns=(), optional=smoothed, days=(days[-1], days[-1])))
            found |= {name: [row[name] for row in rows if row.get(name) is not None] for name in smoothed}
    return found
