"""What is right, by brute force: every cell from all events, in plain Python, one row at a time.

Slow on purpose and free of the engine's ideas: no tiles, no prefixes, no sorting by window. Reads conformed rows as
dictionaries with datetimes in UTC.
"""

import math
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import partial
from operator import eq, ge, gt, le, lt, ne
from typing import Any
from zoneinfo import ZoneInfo

from headrace.config import Cell, Condition, Config, Group, group_cells
from headrace.days import day_end, day_start
from headrace.durations import Window

ZERO = timedelta(0)
Rows = Callable[[str, Window | None], list[dict]]


def profile_at(versions: list[dict], key: str, value: int, t: datetime, timezone: str) -> tuple[dict, datetime] | None:
    """S15: the version with the latest valid_from among those that hold at t and had landed; and when it landed."""
    best = None
    own = [v for v in versions if v[key] == value]
    for valid_from in {v["valid_from"] for v in own}:
        repeats = sorted((v for v in own if v["valid_from"] == valid_from), key=lambda v: (v["ds"], v["sets_valid_to"]))
        first = repeats[0]
        known = [v for v in repeats if day_start(v["ds"], timezone) <= t]
        if not known or valid_from > t:
            continue
        ends = known[-1]["valid_to"] if known[-1]["sets_valid_to"] else first["valid_to"]
        if (ends is None or t < ends) and (best is None or valid_from > best[0]["valid_from"]):
            best = (first, day_start(first["ds"], timezone))
    return best


def as_of(request: datetime, group: Group, timezone: str) -> datetime:
    """S2 and S5."""
    moment = request - group.delay
    if group.refresh == ZERO:
        return moment
    if group.refresh == timedelta(hours=1):
        return moment.replace(minute=0, second=0, microsecond=0)
    return day_start(moment.astimezone(ZoneInfo(timezone)).date(), timezone)


class Oracle:
    """All events, with what segments and authors need, and the answers."""

    def __init__(
        self, config: Config, impressions: list[dict], engagements: list[dict], users: list[dict], items: list[dict]
    ):
        self.config, self.users, self.items = config, users, items
        self.by_id: dict[int, dict] = {}
        for row in sorted(impressions, key=lambda r: (r["ds"], r["effective_arrival_ts"])):
            self.by_id.setdefault(row["impression_id"], row)
        self.events = [
            {**r, "action": "impression", "value": None, "is_first": True} for r in impressions
        ] + engagements
        for event in self.events:
            t = min(event["event_ts"], day_end(event["ds"], config.timezone) - timedelta(microseconds=1))
            item = profile_at(items, "item_id", event["item_id"], t, config.timezone)
            user = profile_at(users, "user_id", event["user_id"], t, config.timezone)
            event["profiles"] = {"item": item and item[0], "user": user and user[0]}

    def visible(self, event: dict, group: Group, *, arrival: datetime | None = None) -> datetime:
        return max(event["event_ts"], (arrival or event["effective_arrival_ts"]) - group.delay)

    def key_of(self, event: dict, group: Group) -> int | None:
        if group.entity == "author":
            return event["profiles"]["item"] and event["profiles"]["item"]["author_id"]
        return event[f"{group.entity}_id"]

    def segment_of(self, event: dict, group: Group) -> tuple[object, datetime | None]:
        """Segment value, and the later arrival where it comes from the impression (S12)."""
        source, column = str(group.segment).split(".")
        if source != "impression":
            profile = event["profiles"][source]
            return profile and profile[column], None
        if event["action"] == "impression":
            return event[column], None
        shown = self.by_id.get(event["impression_id"])
        if shown is None:
            return None, None
        return shown[column], max(event["effective_arrival_ts"], shown["effective_arrival_ts"])

    def members(self, group: Group, key: int | None, segment: object, *, at: datetime) -> list[dict]:
        """Visible events of the key (all keys where None) and the segment."""
        found = []
        for event in self.events:
            own = self.key_of(event, group)
            if own is None or (key is not None and own != key):
                continue
            arrival = None
            if group.segment is not None:
                value, arrival = self.segment_of(event, group)
                if value is None or value != segment:
                    continue
            if self.visible(event, group, arrival=arrival) < at:
                found.append(event)
        return found

    def takes(self, metric: str, event: dict) -> bool:
        """Whether the event belongs to the metric: its action, `once`, `where`."""
        spec = self.config.features.metrics[metric]
        if event["action"] != spec.action or (spec.once and not event["is_first"]):
            return False
        return all(_holds(c, self._seen(event, c)) for c in spec.where)

    def _seen(self, event: dict, condition: Condition) -> object:
        """What a condition looks at; for an engagement the impression as first landed."""
        source, _, column = condition.column.partition(".")
        if source == "value":
            return event["value"]
        if source == "impression":
            shown = event if event["action"] == "impression" else self.by_id.get(event["impression_id"])
            return shown and shown[column]
        profile = event["profiles"][source]
        return profile and profile[column]

    def count(
        self, events: list[dict], metric: str, window: Window | None = None, at: datetime | None = None
    ) -> list[dict]:
        """Events of the metric, in the window ending at `at` if given."""
        found = [e for e in events if self.takes(metric, e)]
        if window is None or at is None:
            return found
        end = at - window.ends
        start = None if window.length is None else end - window.length
        return [e for e in found if e["event_ts"] < end and (start is None or start <= e["event_ts"])]

    def late_for(self, metric: str, event: dict, group: Group, at: datetime) -> bool:
        """S12 for conditions on the impression: the engagement is visible from the later of the two."""
        spec = self.config.features.metrics[metric]
        if event["action"] == "impression" or not any(c.source == "impression" for c in spec.where):
            return False
        shown = self.by_id.get(event["impression_id"])
        if shown is None:
            return True
        arrival = max(event["effective_arrival_ts"], shown["effective_arrival_ts"])
        return self.visible(event, group, arrival=arrival) >= at

    def group_cells(self, name: str, row: dict) -> dict[str, object]:
        """Every cell of a group for one row (request_ts, user_id, item_id, author_id, context, segment columns)."""
        group = self.config.features.groups[name]
        at = as_of(row["request_ts"], group, self.config.timezone)
        key = row[f"{group.entity}_id"]
        segment = None if group.segment is None else row[_column(group)]
        known = key is not None and any(
            self.key_of(e, group) == key and self.visible(e, group) < at for e in self.events
        )
        cells = group_cells(group)
        if not known or (group.segment is not None and segment is None):
            return dict.fromkeys(cell.name for cell in cells)
        own = self.members(group, key, segment, at=at)
        population = self.members(group, None, segment, at=at) if group.rate_smoothed else []
        whole = self.all_segments(group, key, at=at) if group.share else []

        def chosen(events: list[dict], metric: str, window: Window | None) -> list[dict]:
            return [e for e in self.count(events, metric, window, at) if not self.late_for(metric, e, group, at)]

        return {
            c.name: self.cell(c, group, at, partial(chosen, own), partial(chosen, population), partial(chosen, whole))
            for c in cells
        }

    def all_segments(self, group: Group, key: int, *, at: datetime) -> list[dict]:
        """Visible events of the key that have any segment."""
        found = []
        for event in self.events:
            value, arrival = self.segment_of(event, group)
            visible = self.visible(event, group, arrival=arrival) < at
            if self.key_of(event, group) == key and value is not None and visible:
                found.append(event)
        return found

    def cell(self, cell: Cell, group: Group, at: datetime, own: Rows, population: Rows, whole: Rows) -> object:
        """One cell of a known key, from its events by metric and window."""
        rows = own(cell.metric, cell.window)
        values = sorted((e["event_ts"], round(e["value"] * 1e6)) for e in rows if e["value"] is not None)
        numbers = [v for _, v in values]
        simple = {
            "count": lambda: len(rows),
            "sum": lambda: units(rows) / 1e6,
            "mean": lambda: units(rows) / (1e6 * len(rows)) if rows else None,
            "variance": lambda: variance(numbers) if numbers else None,
            "std": lambda: variance(numbers) ** 0.5 if numbers else None,
            "min": lambda: min(numbers) / 1e6 if numbers else None,
            "max": lambda: max(numbers) / 1e6 if numbers else None,
            "first": lambda: values[0][1] / 1e6 if values else None,
            "last": lambda: values[-1][1] / 1e6 if values else None,
            "recency": lambda: seconds(at - max(e["event_ts"] for e in rows)) if rows else None,
            "age": lambda: seconds(at - min(e["event_ts"] for e in rows)) if rows else None,
            "quantile": lambda: sketched(sorted(numbers), cell.quantile) if numbers else None,
            "distinct": lambda: distinct([self.value_of(e, cell.of) for e in rows], cell.k),
            "share": lambda: _over(len(rows), len(whole(cell.metric, cell.window))),
            "rate": lambda: _over(len(rows), len(own(cell.over, cell.window))),
            "trend": lambda: self.trend(cell, own),
        }
        if cell.aggregate in simple:
            return simple[cell.aggregate]()
        if cell.aggregate == "rate_smoothed":
            prior = _over(len(population(cell.metric, cell.window)), len(population(cell.over, cell.window)))
            bottom = len(own(cell.over, cell.window))
            assert cell.strength is not None
            return None if prior is None else (len(rows) + cell.strength * prior) / (bottom + cell.strength)
        kept = [(e["event_ts"], self.value_of(e, cell.of)) for e in rows]
        kept = [(moment, value) for moment, value in kept if value is not None]
        return top_k(kept, cell) if cell.aggregate == "top_k" else last_k(kept, cell)

    def trend(self, cell: Cell, own: Rows) -> float | None:
        short = _over(len(own(cell.metric, cell.window)), len(own(cell.over, cell.window)))
        long = _over(len(own(cell.metric, cell.longer)), len(own(cell.over, cell.longer)))
        return short / long if short is not None and long else None

    def value_of(self, event: dict, column: str) -> object:
        """The column that a list keeps: an id of the event, or a profile column at the event's own moment."""
        source, _, name = column.partition(".")
        if column == "author_id":
            source, name = "item", "author_id"
        if not name:
            return event[column]
        profile = event["profiles"][source]
        return profile and profile[name]


def _over(top: int, bottom: int) -> float | None:
    return top / bottom if bottom else None


def _holds(condition: Condition, value: Any) -> bool:
    if value is None:
        return False
    compare = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
    if condition.operator == "in":
        return value in condition.literals
    return bool(compare[condition.operator](value, condition.literals[0]))


def seconds(elapsed: timedelta) -> float:
    return elapsed / timedelta(microseconds=1) / 1e6


def variance(numbers: list[int]) -> float:
    """Population variance: an exact integer over n squared, rounded by halves as the engine says it does."""
    n = len(numbers)
    high, low = divmod(n * sum(u * u for u in numbers) - sum(numbers) ** 2, 2**64)
    return (float(high) * 2.0**64 + float(low)) / (float(n) * float(n)) / 1e12


def sketched(numbers: list[int], q: float) -> float:
    """The middle of the logarithmic bucket (1 % wide to either side) in which the nearest-rank quantile lies."""
    value = numbers[max(math.ceil(Fraction(str(q)) * len(numbers)), 1) - 1]
    if not value:
        return 0.0
    with localcontext(prec=60):
        gamma, edge = Decimal(101) / Decimal(99), Decimal(1)
        while edge < value:
            edge *= gamma
        return float(2 * edge / (gamma + 1) / 1_000_000)


def distinct(values: list, size: int) -> int:
    """Exact below the size; the tests that go above say how far off an estimate may be."""
    found = len({v for v in values if v is not None})
    assert found < size
    return found


def top_k(kept: list[tuple], cell: Cell) -> list | None:
    counts = Counter(value for _, value in kept)
    best = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[: cell.k]
    return [pair[0 if cell.part == "values" else 1] for pair in best] or None


def last_k(kept: list[tuple], cell: Cell) -> list | None:
    newest: list[tuple] = []
    for moment, value in sorted(kept, reverse=True):
        if not (cell.distinct and value in [v for _, v in newest]):
            newest.append((moment, value))
    return [pair[0 if cell.part == "times" else 1] for pair in newest[: cell.k]] or None


def units(events: list[dict]) -> int:
    return sum(round(e["value"] * 1e6) for e in events)  # round() is half to even


def _column(group: Group) -> str:
    source, column = str(group.segment).split(".")
    return column if source == "impression" else f"{source}_{column}"
