"""The shape of conf/features.yaml: metrics, groups, and what each group computes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.config.conditions import Condition, parse_condition
from headrace.durations import Window, duration_name, micros, parse_duration, parse_window

__all__ = ["AGGREGATES", "Distinct", "FeaturesConfig", "Group", "LastK", "Metric", "Rate", "TopK"]

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
WindowField = Annotated[Window, BeforeValidator(parse_window)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Of = Annotated[str, Field(pattern=r"^(user_id|item_id|author_id|(user|item)\.[a-z][a-z0-9_]*)$")]
Aggregate = Literal[
    "count", "sum", "mean", "variance", "std", "rate", "rate_smoothed", "share", "trend", "min", "max", "first",
    "last", "recency", "age", "distinct", "quantile",
]  # fmt: skip
AGGREGATES: tuple[Aggregate, ...] = Aggregate.__args__  # type: ignore[attr-defined]
OF_VALUES = ("sum", "mean", "variance", "std", "min", "max", "first", "last", "quantile")
_MOST_METRICS = 62  # one bit each in a BIGINT (features.tiles)
_REFRESHES = (timedelta(0), timedelta(hours=1), timedelta(days=1))
_TILES = (timedelta(hours=1), timedelta(minutes=30), timedelta(minutes=15))


@dataclass(frozen=True)
class Rate:
    """Numerator over denominator in one window; `strength` is k of the smoothed form (S20)."""

    numerator: str
    denominator: str
    strength: float | None = None

    @property
    def name(self) -> str:
        """`click_rate`, `like_per_click_rate`, `click_rate_smoothed`."""
        over = "" if self.denominator == "impression" else f"_per_{self.denominator}"
        return f"{self.numerator}{over}_rate{'' if self.strength is None else '_smoothed'}"

    @classmethod
    def parse(cls, text: str, *, strength: float | None = None) -> "Rate":
        """Read `click` (per impression) or `like/click`."""
        numerator, _, denominator = text.partition("/")
        return cls(numerator.strip(), denominator.strip() or "impression", strength)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Metric(_Strict):
    """Which events a metric counts, and whether it sums their value."""

    action: Name
    value: bool = False
    once: bool = False
    unit: str = ""
    where: list[Annotated[Condition, BeforeValidator(parse_condition)]] = []


class LastK(_Strict):
    """The newest k values of a column, newest first."""

    of: Of
    k: Annotated[int, Field(ge=1, le=1000)]
    distinct: bool = False
    times: bool = False


class TopK(_Strict):
    """The k most frequent values of a column in a window, and how often each."""

    of: Of
    k: Annotated[int, Field(ge=1, le=100)]


class Distinct(_Strict):
    """How many different values of a column; exact below `size`, else estimated."""

    of: Of
    size: Annotated[int, Field(ge=16, le=65536)] = 1024


def _several(value: Any) -> Any:
    """One declaration where a list of them may stand; a bare name is `of`."""
    found = value if isinstance(value, list) else [value]
    return [{"of": v} if isinstance(v, str) else v for v in found]


class Group(_Strict):
    """One entity, its segment if any, and the windows, metrics and rates kept for it."""

    entity: Literal["user", "item", "author"]
    segment: Annotated[str, Field(pattern=r"^(user|item|impression)\.[a-z][a-z0-9_]*$")] | None = None
    windows: Annotated[list[WindowField], Field(min_length=1)]
    delay: Duration
    refresh: Duration
    tolerance: Duration
    count: list[Name] = []
    sum: list[Name] = []
    mean: list[Name] = []
    variance: list[Name] = []
    std: list[Name] = []
    rate: list[str] = []
    rate_smoothed: dict[str, Annotated[float, Field(gt=0)]] = {}
    share: list[Name] = []
    trend: dict[str, Annotated[list[WindowField], Field(min_length=2, max_length=2)]] = {}
    min: list[Name] = []
    max: list[Name] = []
    first: list[Name] = []
    last: list[Name] = []
    recency: list[Name] = []
    age: list[Name] = []
    last_k: dict[Name, Annotated[list[LastK], BeforeValidator(_several)]] = {}
    top_k: dict[Name, Annotated[list[TopK], BeforeValidator(_several)]] = {}
    distinct: dict[Name, Annotated[list[Distinct], BeforeValidator(_several)]] = {}
    quantile: dict[Name, list[Annotated[float, Field(ge=0, le=1)]]] = {}
    defaults: dict[Aggregate, float] = {}

    @property
    def prefix(self) -> str:
        """Start of every generated name: `user`, `item_by_gender`."""
        if self.segment is None:
            return self.entity
        return f"{self.entity}_by_{self.segment.split('.')[1]}"

    @property
    def segment_column(self) -> str | None:
        """Column of the log, and of the rows to enrich, that holds the segment's value; None without a segment."""
        if self.segment is None:
            return None
        source, column = self.segment.split(".")
        if self.segment == "item.author_id":
            return "author_id"  # an id of its own, not a feature of the item
        return column if source == "impression" else f"{source}_{column}"

    @property
    def rates(self) -> list[Rate]:
        """Plain rates, then smoothed ones, in the order of the file."""
        plain = [Rate.parse(text) for text in self.rate]
        return plain + [Rate.parse(text, strength=k) for text, k in self.rate_smoothed.items()]

    @property
    def all_windows(self) -> list[Window]:
        """The declared windows and those that only trends use, each once."""
        return list(dict.fromkeys([*self.windows, *(w for pair in self.trend.values() for w in pair)]))

    @property
    def metric_names(self) -> list[str]:
        """Every metric the group touches, sorted."""
        sides = [s for r in [*self.rates, *map(Rate.parse, self.trend)] for s in (r.numerator, r.denominator)]
        lists = [self.count, self.share, self.recency, self.age, *(getattr(self, a) for a in OF_VALUES)]
        named = [m for listed in [*lists, self.last_k, self.top_k, self.distinct] for m in listed]
        return sorted({*sides, *named})

    @property
    def columns_of(self) -> list[str]:
        """Columns whose values last_k, top_k and distinct keep, sorted."""
        kept = (self.last_k, self.top_k, self.distinct)
        return sorted({one.of for declared in kept for listed in declared.values() for one in listed})

    def tile_micros(self, tile: timedelta) -> int:
        """Grain of this group's tiles in microseconds; refresh 0 keeps the exact moment."""
        return 1 if self.refresh == timedelta(0) else micros(tile)


class FeaturesConfig(_Strict):
    """All groups over one tile size."""

    tile: Duration
    max_segment_values: Annotated[int, Field(ge=1)] = 100_000
    metrics: dict[Name, Metric]
    defaults: dict[Aggregate, float] = {}
    groups: dict[Name, Group]

    def impression_columns(self, name: str) -> list[str]:
        """Columns of the impression that a group's engagements take: of its segment and of its metrics' conditions."""
        group = self.groups[name]
        asked = [c.column for m in group.metric_names for c in self.metrics[m].where]
        named = [column for column in (group.segment or "", *asked) if column.startswith("impression.")]
        return sorted({column.removeprefix("impression.") for column in named})

    @model_validator(mode="after")
    def _valid(self) -> "FeaturesConfig":
        declared = {"defaults": self.defaults, **{f"groups.{n}.defaults": g.defaults for n, g in self.groups.items()}}
        for where, defaults in declared.items():
            for aggregate, default in defaults.items():
                if aggregate in ("count", "distinct") and default % 1:
                    raise ValueError(f"{where}.{aggregate}: found {default}, wanted a whole number, as the column is")
        if self.tile not in _TILES:
            raise ValueError(f"tile: found {duration_name(self.tile)}, wanted 1h, 30m or 15m")
        if len(self.metrics) > _MOST_METRICS:
            raise ValueError(f"metrics: found {len(self.metrics)}, wanted at most {_MOST_METRICS}")
        for name, group in self.groups.items():
            self._check_group(f"groups.{name}", group)
            self._check_multiples(f"groups.{name}", group)
        return self

    def _check_group(self, where: str, group: Group) -> None:
        unknown = sorted(set(group.metric_names) - set(self.metrics))
        if unknown:
            raise ValueError(f"{where}: found metrics {unknown}, wanted some of {sorted(self.metrics)}")
        for aggregate in OF_VALUES:
            valueless = [m for m in getattr(group, aggregate) if not self.metrics[m].value]
            if valueless:
                raise ValueError(f"{where}: found {aggregate} of {valueless}, wanted metrics with value: true")
        for text in (*group.rate, *group.rate_smoothed, *group.trend):
            sides = [side.strip() for side in text.split("/")]
            if len(sides) > 2 or "" in sides or len(set(sides)) < len(sides):
                raise ValueError(f"{where}: found the rate {text!r}, wanted a metric, or two of them as in like/click")
        if group.share and group.segment is None:
            raise ValueError(
                f"{where}.share: found no segment, wanted one: a share is a segment's part of its key's total"
            )
        if group.refresh not in _REFRESHES:
            raise ValueError(f"{where}.refresh: found {duration_name(group.refresh)}, wanted 0, 1h or 1d")
        names = [w.name for w in group.windows]
        if len(set(names)) < len(names):
            raise ValueError(f"{where}.windows: found {names} with a repeat, wanted each once")

    def _check_multiples(self, where: str, group: Group) -> None:
        """S6: a tile never straddles an edge."""
        if group.refresh == timedelta(0):
            return
        lengths = [(f"delay = {duration_name(group.delay)}", group.delay)]
        for window in group.all_windows:
            lengths += [(f"window {window.name}", length) for length in (window.ends, window.length) if length]
        for what, length in lengths:
            if length % self.tile:
                fits = [duration_name(t) for t in _TILES if not length % t]
                hint = f"tile: {fits[0]} would do" if fits else "no tile fits: use refresh: 0"
                raise ValueError(
                    f"{where}: found {what}, wanted a multiple of the tile {duration_name(self.tile)}; {hint}"
                )
