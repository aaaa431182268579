"""The one place where feature columns get their names, types, units and defaults."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from headrace.durations import duration_name

if TYPE_CHECKING:
    from headrace.config.groups import FeaturesConfig, Group
    from headrace.config.model import Config

__all__ = ["RESERVED", "Feature", "feature_columns", "group_columns", "source_columns"]

FeatureType = Literal["bigint", "double", "int", "string", "boolean"]

RESERVED = frozenset(
    [
        "impression_id",
        "request_id",
        "request_ts",
        "user_id",
        "item_id",
        "author_id",
        "event_ts",
        "arrival_ts",
        "ds",
        "sampling_stratum",
        "sampling_rate",
        "sample_weight",
        "feature_states",
    ]
)
_CONTEXT_TYPES: dict[str, FeatureType] = {"position": "int"}
_CLOCK: tuple[tuple[str, FeatureType, str], ...] = (
    ("context_hour", "int", "hour of the local day"),
    ("context_weekday", "int", "1 = Monday .. 7 = Sunday"),
    ("context_is_weekend", "boolean", ""),
    ("context_is_holiday", "boolean", ""),
)


@dataclass(frozen=True)
class Feature:
    """One column of the training set.

    Attributes
    ----------
    name, type, unit : str
        Column name, Spark SQL type and the unit of its numbers.
    source : str
        `group:<name>`, `profile:user`, `profile:item` or `context`.
    default : float | str | None
        Value put into null cells after their state is recorded; None leaves them null.
    definition : str
        What the number says, in words.
    """

    name: str
    type: FeatureType
    unit: str
    source: str
    default: float | str | None
    definition: str


def feature_columns(config: "Config") -> list[Feature]:
    """Every feature of the training set, in the order of its columns and of `feature_states`."""
    found = _context_columns(config)
    for entity in ("user", "item"):
        found += _profile_columns(config, entity)
    for name, group in config.features.groups.items():
        found += group_columns(config.features, name, group)
    return found


def _context_columns(config: "Config") -> list[Feature]:
    clock = [Feature(n, t, u, "context", None, f"{n[8:]} at request_ts in timezone") for n, t, u in _CLOCK]
    return clock + [
        Feature(n, _CONTEXT_TYPES.get(n, "string"), "", "context", None, f"{n} of the impression")
        for n in config.context.columns
    ]


def _profile_columns(config: "Config", entity: str) -> list[Feature]:
    profile = getattr(config.profiles, entity)
    columns = []
    for column, kind in profile.columns.items():
        if column == "author_id":
            continue
        source = f"profile:{entity}"
        if kind == "timestamp":
            name = f"{entity}_{column.removesuffix('_ts')}_age_s"
            what = f"request_ts - {column} of the {entity} profile at request_ts"
            columns.append(Feature(name, "double", "s", source, None, what))
        else:
            what = f"{column} of the {entity} profile at request_ts"
            unit = "s" if column.endswith("_s") else ""
            columns.append(Feature(f"{entity}_{column}", kind, unit, source, None, what))
    return columns


def group_columns(features: "FeaturesConfig", name: str, group: "Group") -> list[Feature]:
    """Generated columns of one group: windows innermost, so that one metric's windows stand together."""
    defaults = {**features.defaults, **group.defaults}

    def make(stem: str, aggregate: str, unit: str, what: str) -> list[Feature]:
        kind: FeatureType = "bigint" if aggregate == "count" else "double"
        default = defaults.get(aggregate)  # type: ignore[call-overload]
        if default is not None and kind == "bigint":
            default = int(default)
        return [
            Feature(
                f"{group.prefix}_{stem}_{duration_name(w)}",
                kind,
                unit,
                f"group:{name}",
                default,
                f"{what} in [as_of - {duration_name(w)}, as_of)",
            )
            for w in group.windows
        ]

    columns: list[Feature] = []
    units = {m: features.metrics[m].unit for m in group.metric_names}
    for m in group.count:
        columns += make(f"{m}_count", "count", "events", f"number of {m} events")
    for m in group.sum:
        columns += make(f"{m}_sum", "sum", units[m], f"sum of {m}")
    for m in group.mean:
        columns += make(f"{m}_mean", "mean", units[m], f"mean of {m}")
    for rate in group.rates:
        aggregate = "rate" if rate.strength is None else "rate_smoothed"
        what = f"{rate.numerator} per {rate.denominator}"
        if rate.strength is not None:
            what += f", smoothed with k = {rate.strength:g} and the population's rate"
        columns += make(rate.name, aggregate, "ratio", what)
    for m in group.recency:
        what = f"as_of - last visible {m}"
        column = f"{group.prefix}_{m}_recency_s"
        columns.append(Feature(column, "double", "s", f"group:{name}", defaults.get("recency"), what))
    return columns


def source_columns(features: list[Feature], source: str) -> list[Feature]:
    """The features of one source, in order."""
    return [feature for feature in features if feature.source == source]
