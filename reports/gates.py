"""What the gates look at: one frame of a day's coverage with its trailing medians, and what each rule wants of it. No Spark.

The frame is bounded by features x slice values, whatever the rows of the day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from features.states import STATES
from headrace.config import Config, feature_columns
from headrace.config.coverage import Ceiling, Drift, Floor, Rows, Rule, matches
from headrace.delta import is_table, open_dataset
from headrace.errors import InputError

__all__ = ["KEY", "Limit", "day_frame", "limits"]

KEY = ["feature", "slice", "value"]
_COLUMNS = [*KEY, "rows", "weight", "coverage", *(f"weight_{state}" for state in STATES[2:]), "psi", "js", "ds"]
_SHARES = [f"share_{state}" for state in STATES[2:]]
_METRICS = ["coverage", *_SHARES, "rows"]


@dataclass(frozen=True)
class Limit:
    """What one rule wants.

    Attributes
    ----------
    metric : column of the frame that must lie in [low, high]; null cells are not judged
    rows : bool (N,), the rows of the frame that the rule is about
    shown, median : columns with what is reported as observed and as the median that it is held against, if it is
    """

    rule: str
    severity: str
    metric: str
    low: float | None
    high: float | None
    rows: Any
    shown: str
    median: str | None


def day_frame(config: Config, ds: date) -> pd.DataFrame:
    """Cells of `ds` that can be judged: every feature x slice x value, and with feature None every slice x value.

    Columns: KEY, rows, weight, coverage, share_<state>, psi, js; <metric>_median over the days before, null where there are
    none; <metric>_less_median and rows_of_median; cell, the row's own number. A declared feature of which there is no row has coverage 0 and no rows; a
    slice value that has no rows today but had before has 0 rows. A day without rows has one cell: no feature, 0 rows.
    """
    found = _read(config, ds)
    today, before = found[found["ds"] == ds], found[found["ds"] != ds]
    frame = pd.concat([_traffic(config, today, before), _with_absent(config, today)], ignore_index=True)
    traffic = before.drop_duplicates(["ds", "slice", "value"]).assign(feature=None)
    known = pd.concat([traffic, before], ignore_index=True)
    medians = known.groupby(KEY, dropna=False)[_METRICS].median().add_suffix("_median")
    if len(medians):
        frame = frame.merge(medians.reset_index(), on=KEY, how="left")
    else:
        frame = frame.assign(**{f"{metric}_median": np.nan for metric in _METRICS})
    for metric in _METRICS[:-1]:
        frame[f"{metric}_less_median"] = (frame[metric] - frame[f"{metric}_median"]).round(12)
    frame["rows_of_median"] = frame["rows"] / frame["rows_median"].where(frame["rows_median"] > 0)
    return frame.assign(cell=np.arange(len(frame)))


def _read(config: Config, ds: date) -> pd.DataFrame:
    """Coverage of `ds` and of the days that its medians look back on, with shares of states."""
    import pyarrow.compute as pc

    uri = f"{config.root}/coverage"
    first = ds - timedelta(days=config.gates.median_days)
    if not is_table(uri):
        remedy = f"headrace run --ds {ds}, or check root in the config"
        raise InputError(f"gates of {ds}", found=f"no table {uri}", wanted="coverage of the day", remedy=remedy)
    dataset = open_dataset(uri)
    names = [name for name in _COLUMNS if name in dataset.schema.names]
    wanted = (pc.field("ds") >= pc.scalar(first)) & (pc.field("ds") <= pc.scalar(ds))
    found = dataset.to_table(columns=names, filter=wanted).to_pandas()
    for name in ("psi", "js"):
        found[name] = found[name].astype(float) if name in found else np.nan
    weight = found["weight"].astype(float).where(found["weight"] > 0)
    for state in STATES[2:]:
        found[f"share_{state}"] = found[f"weight_{state}"] / weight
    found["coverage"] = found["coverage"].astype(float).where(weight.notna())
    found["rows"] = found["rows"].astype(float)
    return found


def _traffic(config: Config, today: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
    """Rows of every slice value that there is, was, or is named by a rule on rows, without feature."""
    here = today.drop_duplicates(["slice", "value"])[["slice", "value", "rows"]]
    whole = pd.DataFrame({"slice": ["all"], "value": ["all"], "rows": [0.0]})
    gone = before.drop_duplicates(["slice", "value"])[["slice", "value"]].assign(rows=0.0)
    named = [(r.slice, r.value) for r in config.gates.rows if not set("*?") & set(r.slice + (r.value or ""))]
    asked = pd.DataFrame(named, columns=["slice", "value"]).assign(rows=0.0)
    together = pd.concat([here, whole, gone, asked], ignore_index=True).drop_duplicates(["slice", "value"])
    return together.assign(feature=None)


def _with_absent(config: Config, today: pd.DataFrame) -> pd.DataFrame:
    names = [f.name for f in feature_columns(config)]
    if today.empty:
        return today
    absent = [name for name in names if name not in set(today["feature"])]
    lacking = pd.DataFrame({"feature": absent, "slice": "all", "value": "all", "rows": 0.0, "coverage": 0.0})
    return pd.concat([today, lacking], ignore_index=True) if absent else today


def limits(config: Config, frame: pd.DataFrame) -> Iterator[Limit]:
    """Every rule of the configuration over the frame of `day_frame`."""
    sources = {f.name: f.source for f in feature_columns(config)}
    for name, rule in config.gates.rules:
        cells = frame["feature"].isna() if isinstance(rule, Rows) else _of_features(frame, rule, sources)
        cells &= _matches(frame["slice"], rule.slice) & _matches(frame["value"], rule.value)
        metric, low, high, shown, median = _wanted(rule)
        yield Limit(name, rule.severity, metric, low, high, cells.to_numpy(dtype=bool), shown, median)


def _of_features(frame: pd.DataFrame, rule: Rule, sources: dict[str, str]) -> pd.Series:
    fits = {name for name, source in sources.items() if rule.fits(name, source)}
    enough = (frame["rows"] >= rule.min_rows) | (frame["rows"] == 0)
    return frame["feature"].isin(fits) & enough


def _matches(column: pd.Series, pattern: str | None) -> pd.Series:
    """Null matches `null` and `*`."""
    if pattern is None:
        return column.isna()
    fits = {value for value in set(column.dropna()) if matches(value, pattern)}
    return column.map(fits.__contains__) | (column.isna() if pattern == "*" else False)


def _wanted(rule: Rule | Rows) -> tuple[str, float | None, float | None, str, str | None]:
    """(metric, low, high, shown, median)."""
    if isinstance(rule, Floor):
        if rule.at_least is not None:
            return "coverage", rule.at_least, None, "coverage", None
        return "coverage_less_median", -float(rule.below_median or 0), None, "coverage", "coverage_median"
    if isinstance(rule, Ceiling):
        share = f"share_{rule.state}"
        if rule.at_most is not None:
            return share, None, rule.at_most, share, None
        return f"{share}_less_median", None, rule.above_median, share, f"{share}_median"
    if isinstance(rule, Drift):
        return ("psi", None, rule.psi, "psi", None) if rule.psi is not None else ("js", None, rule.js, "js", None)
    assert isinstance(rule, Rows)
    if rule.of_median_at_least is None and rule.of_median_at_most is None:
        return "rows", rule.at_least, rule.at_most, "rows", None
    return "rows_of_median", rule.of_median_at_least, rule.of_median_at_most, "rows", "rows_median"
