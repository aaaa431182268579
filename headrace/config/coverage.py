"""The shape of `coverage`, `gates` and `alerts`: what traffic is cut by, what a day must reach, and who hears of it."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from headrace.durations import parse_duration

__all__ = [
    "AlertsConfig",
    "Ceiling",
    "CoverageConfig",
    "Drift",
    "Floor",
    "GatesConfig",
    "Rows",
    "Rule",
    "Slice",
    "matches",
]

Severity = Literal["critical", "warning"]
Share = Annotated[float, Field(ge=0, le=1)]
Above = Annotated[float, Field(gt=0)]
_NAME = r"^[a-z][a-z0-9_]*$"


def _edge(value: Any) -> Any:
    """7d is 604800, since ages are in seconds."""
    is_text = isinstance(value, str)
    return parse_duration(value) / timedelta(seconds=1) if is_text else value


def _slice_of(given: Any) -> Any:
    return {"name": given, "column": given} if isinstance(given, str) else given


Edge = Annotated[float, BeforeValidator(_edge)]


def matches(text: str, pattern: str) -> bool:
    """Whether a text fits a pattern with * and ?; every other character stands for itself."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Slice(_Strict):
    """One way to cut traffic: by the values of a column, by bands of a number, or by whether a group knew the key.

    Attributes
    ----------
    column : text, whole number or boolean; with `edges` any number
    top : values kept, by weight; the rest is "(other)". None: coverage.max_slice_values
    edges : ascending; bands are half-open, [edge, next edge)
    names : of the bands, one more than edges; without, "< 18", "18 to 25", ">= 25"
    optional : left out where the configuration has no such column or group, instead of refused
    known : an entity that has a group without segment: "known" where its key had been seen before the row (S17), else "never seen"
    """

    name: Annotated[str, Field(pattern=_NAME)]
    column: str | None = None
    top: Annotated[int, Field(ge=1)] | None = None
    edges: list[Edge] = []
    names: list[str] = []
    known: Literal["user", "item", "author"] | None = None
    optional: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> "Slice":
        if (self.column is None) == (self.known is None):
            raise ValueError(
                f"found {self.name!r} with column {self.column!r} and known {self.known!r}, wanted one of them"
            )
        if self.name == "all":
            raise ValueError("found the name 'all', wanted another: it is the whole of the traffic")
        if (self.known or self.edges) and self.top:
            raise ValueError(f"found top on {self.name!r}, wanted it on a column without edges")
        if self.known and (self.edges or self.names):
            raise ValueError(f"found edges or names on {self.name!r}, wanted them beside a column")
        if sorted(set(self.edges)) != self.edges:
            raise ValueError(f"found edges {self.edges}, wanted them ascending and each once")
        if self.names and (len(self.names) != len(self.edges) + 1 or len(set(self.names)) < len(self.names)):
            raise ValueError(f"found {len(self.names)} names, wanted {len(self.edges) + 1}, one a band, each once")
        return self

    @property
    def bands(self) -> list[str]:
        """Names of the bands, lowest first; empty without edges."""
        if not self.edges or self.names:
            return list(self.names)
        texts = [f"{edge:g}" for edge in self.edges]
        between = [f"{low} to {high}" for low, high in itertools.pairwise(texts)]
        return [f"< {texts[0]}", *between, f">= {texts[-1]}"]


class CoverageConfig(_Strict):
    """What the coverage table cuts traffic by, and what it compares a day with."""

    slices: list[Annotated[Slice, BeforeValidator(_slice_of)]]
    max_slice_values: Annotated[int, Field(ge=1)]
    reference_days: Annotated[int, Field(ge=1, le=90)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "CoverageConfig":
        names = [one.name for one in self.slices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"slices: found {twice} more than once, wanted unique names")
        return self


class Rule(_Strict):
    """What a limit is asked of: features by name and group, slices and their values; * and ? stand for any text."""

    name: str | None = None
    feature: Annotated[list[str], Field(min_length=1)] | str = "*"
    but_not: list[str] | str = []
    group: str | None = None
    slice: str = "all"
    value: str | None = "*"
    min_rows: Annotated[int, Field(ge=0)] = 0
    severity: Severity = "critical"

    @property
    def features(self) -> list[str]:
        """Patterns of feature names."""
        return _listed(self.feature)

    @property
    def left_out(self) -> list[str]:
        """Patterns of features that the rule is not about."""
        return _listed(self.but_not)

    def fits(self, feature: str, source: str) -> bool:
        """Whether the rule is about a feature; `source` is Feature.source."""
        group = self.group is None or matches(source.removeprefix("group:"), self.group)
        out = any(matches(feature, pattern) for pattern in self.left_out)
        return group and not out and any(matches(feature, pattern) for pattern in self.features)


def _listed(patterns: list[str] | str) -> list[str]:
    return [patterns] if isinstance(patterns, str) else patterns


def _check_one(rule: BaseModel, *limits: str) -> None:
    given = [name for name in limits if getattr(rule, name) is not None]
    if len(given) != 1:
        raise ValueError(f"found {' and '.join(given) or 'no limit'}, wanted one of {', '.join(limits)}")


class Floor(Rule):
    """Least coverage: `at_least`, or at most `below_median` less than the trailing median."""

    at_least: Share | None = None
    below_median: Share | None = None

    @model_validator(mode="after")
    def _one(self) -> "Floor":
        _check_one(self, "at_least", "below_median")
        return self


class Ceiling(Rule):
    """Greatest share of cells in a state: `at_most`, or at most `above_median` more than the trailing median."""

    state: Literal["default_filled", "null", "stale", "no_entity"]
    at_most: Share | None = None
    above_median: Share | None = None

    @model_validator(mode="after")
    def _one(self) -> "Ceiling":
        _check_one(self, "at_most", "above_median")
        return self


class Drift(Rule):
    """Greatest distance from the reference days: `psi` or `js`."""

    psi: Above | None = None
    js: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _one(self) -> "Drift":
        _check_one(self, "psi", "js")
        return self


class Rows(_Strict):
    """Sampled rows of a slice value: `at_least`, `at_most`, or a share of the trailing median."""

    name: str | None = None
    slice: str = "all"
    value: str | None = "*"
    at_least: Annotated[int, Field(ge=0)] | None = None
    at_most: Annotated[int, Field(ge=0)] | None = None
    of_median_at_least: Annotated[float, Field(ge=0)] | None = None
    of_median_at_most: Above | None = None
    severity: Severity = "critical"

    @model_validator(mode="after")
    def _one(self) -> "Rows":
        _check_one(self, "at_least", "at_most", "of_median_at_least", "of_median_at_most")
        return self


class GatesConfig(_Strict):
    """What a day must reach to be published (conf/coverage.yaml)."""

    median_days: Annotated[int, Field(ge=1, le=90)]
    floors: list[Floor] = []
    ceilings: list[Ceiling] = []
    drift: list[Drift] = []
    rows: list[Rows] = []

    @property
    def rules(self) -> "Iterator[tuple[str, Rule | Rows]]":
        """(name, rule) of every rule; one without a name is called by its place."""
        for kind in ("floors", "ceilings", "drift", "rows"):
            for place, rule in enumerate(getattr(self, kind), start=1):
                yield rule.name or f"{kind} {place}", rule

    @model_validator(mode="after")
    def _names_are_unique(self) -> "GatesConfig":
        names = [name for name, _ in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"found the names {twice} more than once, wanted each rule to have its own")
        return self


class AlertsConfig(_Strict):
    """Who hears of a day that fails or needs a look (docs/alerts.md has the payload)."""

    file: str | None
    webhook_env: Annotated[str, Field(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None
    severity: Severity
    tries: Annotated[int, Field(ge=1, le=10)]
    timeout_s: Annotated[float, Field(gt=0, le=60)]
