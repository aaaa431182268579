"""Which events made one cell, and which did not and why. One cell at a time, in plain Python, from conformed rows.

Written apart from the engine on purpose: it reads the rulings, not the tiles, and so checks the engine where it is used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from zoneinfo import ZoneInfo

from headrace.config import Cell, Condition, Config, FeaturesConfig, Group
from headrace.days import day_end, day_start
from headrace.durations import Window

__all__ = ["Evidence", "Lookup", "Seen", "as_of_moment", "evidence", "recomputed"]

_HOUR = timedelta(hours=1)
_COMPARE = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Seen:
    """One event of the key, when it became visible, whether it counts, and else why not."""

    event: Row
    visible: datetime
    reason: str


@dataclass(frozen=True)
class Evidence:
    """Of one metric in one window: events that count and events left out."""

    metric: str
    window: Window | None
    counted: list[Seen]
    left_out: list[Seen]


class Lookup:
    """Profiles and impressions that events need beside them.

    Parameters
    ----------
    versions : {"user": rows of user_profile, "item": rows of item_profile} of the ids that occur
    impressions : rows by impression_id, the first landed
    """

    def __init__(self, config: Config, versions: Mapping[str, Sequence[Row]], impressions: Mapping[int, Row]) -> None:
        self.config, self.versions, self.impressions = config, versions, impressions

    def profile(self, entity: str, event: Row) -> Row | None:
        """S15, S16: the version that held at the event's own moment and had landed by then."""
        moment = min(event["event_ts"], day_end(event["ds"], self.config.timezone) - timedelta(microseconds=1))
        best: Row | None = None
        own = [v for v in self.versions[entity] if v[f"{entity}_id"] == event[f"{entity}_id"]]
        for valid_from in {v["valid_from"] for v in own}:
            repeats = sorted((v for v in own if v["valid_from"] == valid_from), key=_landing)
            known = [v for v in repeats if day_start(v["ds"], self.config.timezone) <= moment]
            if not known or valid_from > moment:
                continue
            ends = known[-1]["valid_to"] if known[-1]["sets_valid_to"] else repeats[0]["valid_to"]
            if (ends is None or moment < ends) and (best is None or valid_from > best["valid_from"]):
                best = repeats[0]
        return best

    def column(self, source: str, name: str, event: Row) -> Any:
        """A column of the event's profile or impression; None where there is none."""
        if source == "impression":
            shown = event if event["action"] == "impression" else self.impressions.get(event["impression_id"])
        else:
            shown = self.profile(source, event)
        return None if shown is None else shown[name]


def _landing(version: Row) -> tuple[Any, Any]:
    return version["ds"], version["sets_valid_to"]


def as_of_moment(request: datetime, group: Group, timezone: str) -> datetime:
    """as_of = floor(request_ts - delay, refresh) (S2, S5)."""
    moment = request - group.delay
    if group.refresh == timedelta(0):
        return moment
    if group.refresh == _HOUR:
        return moment.replace(minute=0, second=0, microsecond=0)
    return day_start(moment.astimezone(ZoneInfo(timezone)).date(), timezone)


def evidence(
    events: Iterable[Row], group: Group, *, metric: str, window: Window | None, as_of: datetime,
    segment: object, features: FeaturesConfig, lookup: Lookup,
) -> Evidence:  # fmt: skip
    """Sort the events of one key and one metric's action into those that count and those that do not.

    Parameters
    ----------
    events : conformed impressions and engagements of the key, with `action`
    metric, window : of the cell, or of its denominator
    segment : the row's segment value; ignored without a segment
    """
    spec = features.metrics[metric]
    counted: list[Seen] = []
    left_out: list[Seen] = []
    for event in events:
        if event["action"] != spec.action:
            continue
        visible = _visible(event, group, _looks_at_impression(group, spec.where), lookup)
        reason = (
            _not_of_metric(event, spec.once, spec.where, lookup)
            or _not_of_segment(event, group, segment, lookup)
            or _not_in_time(event, window, as_of=as_of, visible=visible)
        )
        (left_out if reason else counted).append(Seen(event, visible, reason))
    return Evidence(metric, window, _by_time(counted), _by_time(left_out))


def _by_time(seen: list[Seen]) -> list[Seen]:
    return sorted(seen, key=lambda s: s.event["event_ts"], reverse=True)


def _looks_at_impression(group: Group, where: Sequence[Condition]) -> bool:
    return (group.segment or "").startswith("impression.") or any(c.source == "impression" for c in where)


def _visible(event: Row, group: Group, with_impression: bool, lookup: Lookup) -> datetime:
    """S3, and S12 where the impression has to be there too."""
    arrival = event["effective_arrival_ts"]
    shown = lookup.impressions.get(event["impression_id"]) if with_impression else None
    if shown is not None and event["action"] != "impression":
        arrival = max(arrival, shown["effective_arrival_ts"])
    return max(event["event_ts"], arrival - group.delay)


def _not_of_metric(event: Row, once: bool, where: Sequence[Condition], lookup: Lookup) -> str:
    if once and not event["is_first"]:
        return "not the first of its impression and action (once)"
    for condition in where:
        source, _, name = condition.column.partition(".")
        value = event["value"] if source == "value" else lookup.column(source, name, event)
        if not _holds(condition, value):
            return f"{condition.column} is {value!r}, wanted {condition.operator} {condition.words.split(' ', 2)[2]}"
    return ""


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    if condition.operator == "in":
        return value in condition.literals
    return bool(_COMPARE[condition.operator](value, condition.literals[0]))


def _not_of_segment(event: Row, group: Group, segment: object, lookup: Lookup) -> str:
    if group.segment is None:
        return ""
    source, name = group.segment.split(".")
    value = lookup.column(source, name, event)
    if value is None:
        return "no segment"
    return "" if value == segment else f"other segment {value!r}"


def _not_in_time(event: Row, window: Window | None, *, as_of: datetime, visible: datetime) -> str:
    end = as_of - window.ends if window else as_of
    if window and window.length is not None and event["event_ts"] < end - window.length:
        return "before the window"
    if event["event_ts"] >= end:
        return "at or after the window's end"
    return "" if visible < as_of else "not yet visible"


def recomputed(cell: Cell, found: Sequence[Evidence]) -> float | int | None:
    """The cell's value from its evidence, for aggregates that a person can check by counting; None for the others."""
    own = [s.event for s in found[0].counted]
    values = [round(e["value"] * 1e6) for e in own if e["value"] is not None]
    if cell.aggregate == "count":
        return len(own)
    if cell.aggregate == "rate" and found[1].counted:
        return len(own) / len(found[1].counted)
    if not values:
        return None
    return {
        "sum": sum(values) / 1e6,
        "mean": sum(values) / (1e6 * len(values)),
        "min": min(values) / 1e6,
        "max": max(values) / 1e6,
    }.get(cell.aggregate)
