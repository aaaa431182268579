"""What is right, by brute force: every cell from all events, in plain Python, one row at a time.

Slow on purpose and free of the engine's ideas: no tiles, no prefixes, no sorting by window. Reads conformed rows as
dictionaries with datetimes in UTC.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from headrace.config import Config, Group
from headrace.days import day_end, day_start
from headrace.durations import duration_name

ZERO = timedelta(0)


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

    def count(
        self, events: list[dict], metric: str, start: datetime | None = None, end: datetime | None = None
    ) -> list[dict]:
        spec = self.config.features.metrics[metric]
        return [
            e
            for e in events
            if e["action"] == spec.action
            and (e["is_first"] or not spec.once)
            and (start is None or start <= e["event_ts"])
            and (end is None or e["event_ts"] < end)
        ]

    def group_cells(self, name: str, row: dict) -> dict[str, object]:
        """Every cell of a group for one row (request_ts, user_id, item_id, author_id, context, segment columns)."""
        group = self.config.features.groups[name]
        at = as_of(row["request_ts"], group, self.config.timezone)
        key = row[f"{group.entity}_id"]
        segment = None if group.segment is None else row[_column(group)]
        known = key is not None and any(
            self.key_of(e, group) == key and self.visible(e, group) < at for e in self.events
        )
        if not known or (group.segment is not None and segment is None):
            return dict.fromkeys(self._names(group))
        own = self.members(group, key, segment, at=at)
        population = self.members(group, None, segment, at=at) if group.rate_smoothed else []
        return self._cells(group, own, population, at)

    def _names(self, group: Group) -> list[str]:
        return list(self._cells(group, [], [], datetime(2024, 1, 1, tzinfo=UTC)))

    def _cells(self, group: Group, own: list[dict], population: list[dict], at: datetime) -> dict[str, object]:
        cells: dict[str, object] = {}
        for w in group.windows:
            start, label = at - w, duration_name(w)

            def rows(metric: str, events: list[dict] = own, start: datetime = start) -> list[dict]:
                return self.count(events, metric, start, at)

            for m in group.count:
                cells[f"{group.prefix}_{m}_count_{label}"] = len(rows(m))
            for m in group.sum:
                cells[f"{group.prefix}_{m}_sum_{label}"] = units(rows(m)) / 1e6
            for m in group.mean:
                cells[f"{group.prefix}_{m}_mean_{label}"] = units(rows(m)) / 1e6 / len(rows(m)) if rows(m) else None
            for rate in group.rates:
                top, bottom = len(rows(rate.numerator)), len(rows(rate.denominator))
                value: float | None
                if rate.strength is None:
                    value = top / bottom if bottom else None
                else:
                    all_top = len(rows(rate.numerator, population))
                    all_bottom = len(rows(rate.denominator, population))
                    prior = all_top / all_bottom if all_bottom else None
                    value = None if prior is None else (top + rate.strength * prior) / (bottom + rate.strength)
                cells[f"{group.prefix}_{rate.name}_{label}"] = value
        for m in group.recency:
            seen = [e["event_ts"] for e in self.count(own, m)]
            cells[f"{group.prefix}_{m}_recency_s"] = (
                (at - max(seen)) / timedelta(microseconds=1) / 1e6 if seen else None
            )
        return cells


def units(events: list[dict]) -> int:
    return sum(round(e["value"] * 1e6) for e in events)  # round() is half to even


def _column(group: Group) -> str:
    source, column = str(group.segment).split(".")
    return column if source == "impression" else f"{source}_{column}"
