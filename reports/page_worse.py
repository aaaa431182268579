"""What got worse: the last day of every feature against the day before and against the median of a week."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from reports.page_delta import Row
from reports.read import BACK, STATES

__all__ = ["Change", "ByDay", "by_day", "change_of", "coverage_of", "worse_features", "worst_first"]

ByDay = Mapping[date, Mapping[str, Row]]

WORST = 10
"""Features on the first screen."""

SMALLEST = 0.0005
"""A fall that is shown as 0.0 percentage points is not shown."""


@dataclass(frozen=True)
class Change:
    """A share now and before.

    Attributes
    ----------
    now : coverage of the last day, or None
    before, since : coverage of the latest earlier day that has one, and that day
    median, days : median of the days that have one among the 7 before the last, and how many those are
    """

    now: float | None
    before: float | None
    since: date | None
    median: float | None
    days: int

    @property
    def by_day(self) -> float | None:
        """Now less the day before."""
        return None if self.now is None or self.before is None else self.now - self.before

    @property
    def by_median(self) -> float | None:
        """Now less the median."""
        return None if self.now is None or self.median is None else self.now - self.median

    @property
    def fall(self) -> float:
        """The greater fall of the two, 0 where neither fell."""
        return max(0.0, -(self.by_day or 0.0), -(self.by_median or 0.0))


def by_day(rows: Iterable[Row]) -> ByDay:
    """Rows of slice "all" by day and feature."""
    found: dict[date, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["ds"], {})[row["feature"]] = row
    return found


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


def change_of(shares: Mapping[date, float | None], last: date) -> Change:
    """The last day's share against those before it; days without one are passed over."""
    earlier = {day: share for day, share in sorted(shares.items()) if day < last and share is not None}
    week = [share for day, share in earlier.items() if day >= last - timedelta(days=min(BACK, (last - date.min).days))]
    since = max(earlier, default=None)
    return Change(
        now=shares.get(last),
        before=earlier[since] if since else None,
        since=since,
        median=statistics.median(week) if week else None,
        days=len(week),
    )


def worse_features(
    days: ByDay, changes: Mapping[str, Change], *, last: date, blame: Mapping[str, str]
) -> tuple[list[dict[str, Any]], int]:
    """Features whose coverage fell, the most lost traffic first, and how many more there are.

    Parameters
    ----------
    changes : feature to its change on the last day
    blame : feature to what its loss comes from, where that is known

    Returns
    -------
    At most 10 of: feature, coverage, by_day, by_median (shares), lost (impressions), blame, and state, the state that grew most
    """
    found = []
    for name, row in days.get(last, {}).items():
        change = changes[name]
        if change.fall >= SMALLEST and row["weight"]:
            grown = _grown(row, [rows[name] for day, rows in days.items() if day == change.since and name in rows])
            lost = change.fall * row["weight"]
            entry = {"feature": name, "coverage": change.now, "by_day": change.by_day, "by_median": change.by_median}
            found.append(entry | {"lost": lost, "blame": blame.get(name), "state": grown})
    found.sort(key=lambda entry: (-entry["lost"], entry["feature"]))
    return found[:WORST], max(0, len(found) - WORST)


def _grown(row: Row, before: Sequence[Row]) -> str | None:
    """The state without value whose share grew most since the day before."""
    old = before[0] if before and before[0]["weight"] else None
    growth = {
        state: _share(row, state) - (_share(old, state) if old else 0.0)
        for state in STATES[2:]
    }  # fmt: skip
    state = max(growth, key=lambda name: growth[name])
    return state if growth[state] > 0 else None


def _share(row: Row, state: str) -> float:
    return float(row[f"weight_{state}"] or 0.0) / float(row["weight"])
