"""Why coverage fell: the input that fell with it, found by following the declared lineage through the receipts.

A feature fell where its coverage on a day is more than FALL below the median of the days before, and the interval of the
change, where it was counted, lies below 0. What is named fell at the time; the receipts cannot prove that it is the cause.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import median
from typing import Any

from headrace.config import Config
from reports.inputs import HISTORY, InputDay, Inputs, Shortfall, read_inputs
from reports.lineage import Lineage, lineage
from reports.page_delta import Row
from reports.read import STATES

__all__ = ["BLAME_COLUMNS", "FALL", "Fall", "blame", "falls"]

FALL = 0.01
"""Least fall of coverage that is asked about."""

BLAME_COLUMNS = ("ds", "feature", "weight", *(f"weight_{s}" for s in STATES), "coverage", "coverage_change_high")
"""Columns of the coverage table that are read."""

_DAY = timedelta(days=1)
_LONGEST = 14  # days: a gap so long before a fall did not make it, however long the window
_PROFILE_DAYS = 7  # days: a profile that did not land is missed later, by keys that are new


@dataclass(frozen=True)
class Fall:
    """A feature below its median: the change (-1 to 0), the first of the days in a row, and the state that grew."""

    feature: str
    ds: date
    change: float
    days: int
    since: date
    state: str | None
    state_change: float | None


def falls(rows: Iterable[Row], *, ds: date, median_days: int) -> list[Fall]:
    """Features that fell on `ds`, from rows of slice "all" with BLAME_COLUMNS of `ds` and the `median_days` before it."""
    by_feature: dict[str, dict[date, Row]] = {}
    for row in rows:
        if row["coverage"] is not None and ds - median_days * _DAY <= row["ds"] <= ds:
            by_feature.setdefault(row["feature"], {})[row["ds"]] = row
    found = (_fall(feature, days, ds) for feature, days in by_feature.items())
    return [fall for fall in found if fall is not None]


def _fall(feature: str, days: Mapping[date, Row], ds: date) -> Fall | None:
    before = [row for day, row in days.items() if day < ds]
    if ds not in days or not before:
        return None
    usual = median(row["coverage"] for row in before)
    change = days[ds]["coverage"] - usual
    high = days[ds].get("coverage_change_high")
    if change >= -FALL or (high is not None and high >= 0):
        return None
    since, low = ds, usual - max(FALL, -change / 2)  # a day that fell half as far belongs to the same fall
    while since - _DAY in days and days[since - _DAY]["coverage"] < low:
        since -= _DAY
    return Fall(feature, ds, change, len(before), since, *_grown(days[ds], before))


def _grown(row: Row, before: Sequence[Row]) -> tuple[str | None, float | None]:
    """The state without a value whose share of the weight grew most, and by how much."""
    if not row["weight"]:
        return None, None
    growth = {}
    for state in STATES[2:]:
        usual = [(one[f"weight_{state}"] or 0.0) / one["weight"] for one in before if one["weight"]]
        growth[state] = (row[f"weight_{state}"] or 0.0) / row["weight"] - (median(usual) if usual else 0.0)
    state = max(growth, key=lambda name: growth[name])
    return (state, growth[state]) if growth[state] > 0 else (None, None)


def blame(config: Config, rows: Iterable[Row], *, ds: date) -> dict[str, dict[str, Any]]:
    """What fell with each feature that fell on `ds`; features that did not fall are not in it.

    Parameters
    ----------
    rows : slice "all" with BLAME_COLUMNS of `ds` and the `gates.median_days` before it

    Returns
    -------
    feature -> change, since, state and its change, input (None where none fell), ds, rows, median, late_share,
    quarantined_share, profile_version (last day on which its profile landed), text; days as ISO text
    """
    found = falls(rows, ds=ds, median_days=config.gates.median_days)
    lineages = lineage(config)
    known = [(fall, lineages[fall.feature]) for fall in found if fall.feature in lineages]
    if not known:
        return {}
    first = min(_first_day(fall, of, name) for fall, of in known for name in of.landing) - (HISTORY + 1) * _DAY
    inputs = read_inputs(config.root, first=first, last=ds)
    return {fall.feature: _answer(config, fall, of, inputs) for fall, of in known}


def _first_day(fall: Fall, of: Lineage, table: str) -> date:
    reach = _LONGEST if of.reach is None else min(-(-of.reach // _DAY), _LONGEST)
    if table.endswith("_profile"):
        reach = max(reach, _PROFILE_DAYS)
    return fall.since - (reach + of.lag_days) * _DAY


def _answer(config: Config, fall: Fall, of: Lineage, inputs: Inputs) -> dict[str, Any]:
    worst = _worst(_landed(config, fall, of, inputs), fall, of) or _worst(_tiled(fall, of, inputs), fall, of)
    profile = next((name for name in of.landing if name.endswith("_profile")), None)
    if worst and worst.table.endswith("_profile"):
        profile = worst.table
    version = inputs.last_landed(profile, by=fall.ds) if profile else None
    found = worst.found if worst else None
    return {
        "change": fall.change,
        "since": fall.since.isoformat(),
        "state": fall.state,
        "state_change": fall.state_change,
        "input": worst.table if worst else None,
        "ds": worst.day.isoformat() if worst else None,
        "rows": found.rows if found else None,
        "median": worst.median if worst else None,
        "late_share": found.late_share if found else None,
        "quarantined_share": found.quarantined_share if found else None,
        "profile_version": version.isoformat() if version else None,
        "text": _text(fall, of, worst, version),
    }


def _days(fall: Fall, of: Lineage, table: str, inputs: Inputs) -> list[Shortfall]:
    """The days of a table that can matter, as far as anything is known of them."""
    first = _first_day(fall, of, table)
    days = (inputs.day(table, first + n * _DAY) for n in range((fall.ds - first).days + 1))
    return [day for day in days if day is not None]


def _landed(config: Config, fall: Fall, of: Lineage, inputs: Inputs) -> Iterator[Shortfall]:
    for table in of.landing:
        for found in _days(fall, of, table, inputs):
            column_is_absent = of.source == "context" and of.feature in found.found.absent
            yield replace(found, severity=1.0) if column_is_absent else found
        landed = inputs.last_landed(table, by=fall.ds)
        if fall.state == "stale" and landed and of.source == f"profile:{of.entity}" and landed < fall.ds:
            since = inputs.day(table, fall.since)
            yield Shortfall(table, fall.since, since.found if since else InputDay(0), None, 0.5)


def _tiled(fall: Fall, of: Lineage, inputs: Inputs) -> Iterator[Shortfall]:
    """Days of the tiles; one on which a metric of the feature met no event, unlike most days, lacks everything."""
    found = _days(fall, of, of.tiles, inputs) if of.tiles else []
    silent = Counter(metric for one in found for metric in one.found.absent)
    for one in found:
        odd = {metric for metric in one.found.absent.intersection(of.metrics) if silent[metric] * 2 <= len(found)}
        yield replace(one, severity=1.0) if odd else one


def _worst(candidates: Iterable[Shortfall], fall: Fall, of: Lineage) -> Shortfall | None:
    """The greatest severity, divided by 1 + days between it and the start of the fall; the lag of the group is no distance."""

    def score(one: Shortfall) -> float:
        early = (fall.since - one.day).days - of.lag_days
        return one.severity / (1 + max(early, (one.day - fall.since).days, 0))

    fallen = [one for one in candidates if one.severity > 0]
    return max(fallen, key=lambda one: (score(one), one.day), default=None)


def _text(fall: Fall, of: Lineage, worst: Shortfall | None, version: date | None) -> str:
    said = f"Coverage is {-fall.change * 100:.1f} points below the median of {_count(fall.days)} since {fall.since}"
    if fall.state:
        said += f", {fall.state} grew by {(fall.state_change or 0) * 100:.1f} points"
    if worst is None:
        names = ", ".join(step["table"] for step in of.steps)
        return f"{said}; no input fell with it ({names})."
    return f"{said}; with it fell {worst.table} of {worst.day}: {', '.join(_facts(worst, of, version))}."


def _count(days: int) -> str:
    return "one day" if days == 1 else f"{days} days"


def _facts(worst: Shortfall, of: Lineage, version: date | None) -> Iterator[str]:
    found = worst.found
    if not found.has_receipt:
        yield "no receipt"
    elif worst.median is None:
        yield f"{found.rows:,} rows"
    else:
        yield f"{found.rows:,} rows where {worst.median:,.0f} is the median"
    for share, word in ((found.late_share, "late"), (found.quarantined_share, "refused")):
        if share:
            yield f"{share:.1%} {word}"
    if worst.table.endswith("_profile") and version:
        yield f"rows landed last on {version}"
    silent = sorted(found.absent.intersection((*of.metrics, of.feature)))
    if silent:
        yield f"nothing of {' '.join(silent)}"
