"""The shape of conf/features.yaml: metrics, groups, and what each group computes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.durations import duration_name, micros, parse_duration

__all__ = ["AGGREGATES", "FeaturesConfig", "Group", "Metric", "Rate"]

Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Aggregate = Literal["count", "sum", "mean", "rate", "rate_smoothed", "recency"]
AGGREGATES: tuple[Aggregate, ...] = ("count", "sum", "mean", "rate", "rate_smoothed", "recency")
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


class Metric(BaseModel):
    """Which events a metric counts, and whether it sums their value."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    action: Name
    value: bool = False
    once: bool = False
    unit: str = ""


class Group(BaseModel):
    """One entity, its segment if any, and the windows, metrics and rates kept for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    entity: Literal["user", "item", "author"]
    segment: Annotated[str, Field(pattern=r"^(user|item|impression)\.[a-z][a-z0-9_]*$")] | None = None
    windows: Annotated[list[Duration], Field(min_length=1)]
    delay: Duration
    refresh: Duration
    tolerance: Duration
    count: list[Name] = []
    sum: list[Name] = []
    mean: list[Name] = []
    rate: list[str] = []
    rate_smoothed: dict[str, Annotated[float, Field(gt=0)]] = {}
    recency: list[Name] = []
    defaults: dict[Aggregate, float] = {}

    @property
    def prefix(self) -> str:
        """Start of every generated name: `user`, `item_by_gender`."""
        if self.segment is None:
            return self.entity
        return f"{self.entity}_by_{self.segment.split('.')[1]}"

    @property
    def rates(self) -> list[Rate]:
        """Plain rates, then smoothed ones, in the order of the file."""
        plain = [Rate(*_split(text)) for text in self.rate]
        return plain + [Rate(*_split(text), strength=k) for text, k in self.rate_smoothed.items()]

    @property
    def counted(self) -> list[str]:
        """Metrics whose event count the tiles must hold, sorted."""
        sides = [side for r in self.rates for side in (r.numerator, r.denominator)]
        return sorted({*self.count, *self.mean, *sides})

    @property
    def summed(self) -> list[str]:
        """Metrics whose value sum the tiles must hold, sorted."""
        return sorted({*self.sum, *self.mean})

    @property
    def metric_names(self) -> list[str]:
        """Every metric the group touches, sorted."""
        return sorted({*self.counted, *self.summed, *self.recency})

    def tile_micros(self, tile: timedelta) -> int:
        """Grain of this group's tiles in microseconds; refresh 0 keeps the exact moment."""
        return 1 if self.refresh == timedelta(0) else micros(tile)


def _split(text: str) -> tuple[str, str]:
    numerator, _, denominator = text.partition("/")
    return numerator.strip(), denominator.strip() or "impression"


class FeaturesConfig(BaseModel):
    """All groups over one tile size."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    tile: Duration
    metrics: dict[Name, Metric]
    defaults: dict[Aggregate, float] = {}
    groups: dict[Name, Group]

    @model_validator(mode="after")
    def _valid(self) -> "FeaturesConfig":
        if self.tile not in _TILES:
            raise ValueError(f"tile: found {duration_name(self.tile)}, wanted 1h, 30m or 15m")
        if len(self.metrics) > _MOST_METRICS:
            raise ValueError(f"metrics: found {len(self.metrics)}, wanted at most {_MOST_METRICS}")
        for name, group in self.groups.items():
            self._check_group(name, group)
        return self

    def _check_group(self, name: str, group: Group) -> None:
        where = f"groups.{name}"
        unknown = sorted(set(group.metric_names) - set(self.metrics))
        if unknown:
            raise ValueError(f"{where}: found metrics {unknown}, wanted some of {sorted(self.metrics)}")
        valueless = [m for m in group.summed if not self.metrics[m].value]
        if valueless:
            raise ValueError(f"{where}: found sum or mean of {valueless}, wanted metrics with value: true")
        if group.refresh not in _REFRESHES:
            raise ValueError(f"{where}.refresh: found {duration_name(group.refresh)}, wanted 0, 1h or 1d")
        names = [duration_name(w) for w in group.windows]
        if len(set(names)) < len(names):
            raise ValueError(f"{where}.windows: found {names} with a repeat, wanted each once")
        self._check_multiples(where, group)

    def _check_multiples(self, where: str, group: Group) -> None:
        """S6: a tile never straddles an edge."""
        if any(w <= timedelta(0) for w in group.windows):
            raise ValueError(f"{where}.windows: found an empty window, wanted lengths above 0")
        if group.refresh == timedelta(0):
            return
        lengths = {
            f"delay = {duration_name(group.delay)}": group.delay,
            **{f"window {duration_name(w)}": w for w in group.windows},
        }
        for what, length in lengths.items():
            if length % self.tile:
                fits = [duration_name(t) for t in _TILES if not length % t]
                hint = f"tile: {fits[0]} would do" if fits else "no tile fits: use refresh: 0"
                raise ValueError(
                    f"{where}: found {what}, wanted a multiple of the tile {duration_name(self.tile)}; {hint}"
                )
