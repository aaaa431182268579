"""The one place where feature columns get their names, types, units and defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.config.cells import Cell, group_cells

if TYPE_CHECKING:
    from headrace.config.groups import FeaturesConfig, Group
    from headrace.config.model import Config, LabelsConfig

__all__ = ["RESERVED", "Feature", "feature_columns", "group_columns", "label_facts", "source_columns", "value_types"]

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
        "split",
        "feature_states",
    ]
)
_CONTEXT_TYPES: dict[str, str] = {"position": "int"}
_CLOCK: tuple[tuple[str, str, str], ...] = (
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
        Column name, Spark SQL type (bigint, double, int, string, boolean, or array<...>) and the unit of its numbers.
    source : str
        `group:<name>`, `profile:user`, `profile:item` or `context`.
    default : float | str | None
        Value put into null cells after their state is recorded; None leaves them null.
    definition : str
        What the number says, in words.
    """

    name: str
    type: str
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
        found += group_columns(config.features, name, group, types=value_types(config))
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


def value_types(config: "Config") -> dict[str, str]:
    """Spark type of every column that `of` may name, and of the value itself (ids, `user.<column>`, `item.<column>`)."""
    ids = dict.fromkeys(("user_id", "item_id", "author_id"), "bigint")
    profiles = {
        f"{entity}.{column}": kind
        for entity in ("user", "item")
        for column, kind in getattr(config.profiles, entity).columns.items()
    }
    return ids | profiles


def group_columns(
    features: "FeaturesConfig", name: str, group: "Group", *, types: Mapping[str, str] | None = None
) -> list[Feature]:
    """Generated columns of one group; `types` is `value_types`, needed where a column keeps values of a profile."""
    defaults = {**features.defaults, **group.defaults}
    return [
        Feature(
            cell.name,
            _kind(cell, types or {}),
            _unit(cell, features),
            f"group:{name}",
            _default(cell, defaults),
            _definition(cell),
        )
        for cell in group_cells(group)
    ]


def _kind(cell: Cell, types: Mapping[str, str]) -> str:
    if cell.aggregate in ("count", "distinct"):
        return "bigint"
    if cell.aggregate not in ("last_k", "top_k"):
        return "double"
    inside = {"times": "timestamp", "counts": "bigint"}.get(cell.part) or types.get(cell.of, "bigint")
    return f"array<{inside}>"


def _unit(cell: Cell, features: "FeaturesConfig") -> str:
    if cell.aggregate in ("count", "distinct") or cell.part == "counts":
        return {"distinct": "values"}.get(cell.aggregate, "events")
    if cell.aggregate in ("rate", "rate_smoothed", "share", "trend"):
        return "ratio"
    if cell.aggregate in ("recency", "age"):
        return "s"
    unit = features.metrics[cell.metric].unit
    return f"{unit}^2" if cell.aggregate == "variance" and unit else "" if cell.of else unit


def _default(cell: Cell, defaults: Mapping[Any, float]) -> float | None:
    default = defaults.get(cell.aggregate)
    return int(default) if default is not None and cell.aggregate in ("count", "distinct") else default


def _definition(cell: Cell) -> str:
    where = f" {cell.window.words}" if cell.window else ""
    m, of = cell.metric, cell.of
    words = {
        "count": f"number of {m} events{where}",
        "rate": f"{m} per {cell.over}{where}",
        "rate_smoothed": f"{m} per {cell.over}, smoothed with k = {cell.strength or 0:g} and the population's rate{where}",
        "share": f"{m} events of the segment per {m} event of the key{where}",
        "trend": f"{m} per {cell.over}{where}, per the same {cell.longer.words if cell.longer else ''}",
        "first": f"value of the earliest {m}{where}",
        "last": f"value of the latest {m}{where}",
        "quantile": f"value that {cell.quantile:g} of {m} do not exceed{where}, within 1 %",
        "recency": f"as_of - last visible {m}",
        "age": f"as_of - first visible {m}",
        "distinct": f"different {of} of {m}{where}; exact below {cell.k}",
        "top_k": f"the {cell.k} most frequent {of} of {m}{where}" + (", how often each" * (cell.part == "counts")),
        "last_k": f"{of} of the last {cell.k} visible {m}, newest first{', each once' * cell.distinct}"
        + (", their event_ts" * (cell.part == "times")),
    }
    return words.get(cell.aggregate, f"{cell.aggregate} of {m}{where}")


def source_columns(features: list[Feature], source: str) -> list[Feature]:
    """The features of one source, in order."""
    return [feature for feature in features if feature.source == source]


def label_facts(labels: "LabelsConfig") -> list[tuple[str, str, str]]:
    """(name, type, meaning) of every label column, in the order of labels.windows."""
    found = [(f"label_{a}", "int", f"1 where a {a} followed in its label window") for a in labels.windows]
    found += [(f"label_{a}_count", "int", f"times a {a} followed in its label window") for a in labels.counts]
    cut = "" if labels.watch_cap is None else f", at most {labels.watch_cap:g} times the duration"
    meaning = f"seconds watched{cut}, 0 for a video not watched; null where there is nothing to watch"
    found.append(("label_watch_s", "double", meaning))
    found.append(("label_completion", "double", "label_watch_s / duration_s; null without a duration"))
    if labels.completed_at is not None:
        meaning = f"1 where label_completion is {labels.completed_at:g} or more; null without a duration"
        found.append(("label_completed", "int", meaning))
    return found
