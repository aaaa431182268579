"""Checks between parts of the configuration: names that must exist, names that must be unique."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from headrace.config.columns import label_facts, value_types
from headrace.config.conditions import Condition
from headrace.config.coverage import Rows, Slice, matches
from headrace.config.sampling import POSITIVE
from headrace.durations import duration_name

if TYPE_CHECKING:
    from headrace.config.model import Config

__all__ = ["check_agreement", "slices_of"]

IMPRESSION_SEGMENTS = ("scene", "device", "os", "network", "city", "position")


def check_agreement(config: "Config") -> None:
    """Raise ValueError where two parts of the configuration contradict each other."""
    _check_actions(config)
    _check_units(config)
    _check_segments(config)
    _check_conditions(config)
    _check_strata(config)
    _check_kept_columns(config)
    _check_midnight(config)
    _check_unique_names(config)
    slices_of(config)
    _check_gates(config)


def _check_actions(config: "Config") -> None:
    known = {"impression", *config.ingest.actions}
    for name, metric in config.features.metrics.items():
        if metric.action not in known:
            raise ValueError(f"features.metrics.{name}.action: found {metric.action!r}, wanted one of {sorted(known)}")
        if metric.value and metric.action not in config.ingest.value_actions:
            raise ValueError(
                f"features.metrics.{name}.value: found true on {metric.action!r}, which carries no value, "
                f"wanted an action of ingest.value_actions {config.ingest.value_actions}"
            )
    unknown = sorted(set(config.labels.windows) - known)
    if unknown:
        raise ValueError(f"labels.windows: found {unknown}, wanted actions of ingest.actions {sorted(known)}")


def _check_units(config: "Config") -> None:
    moments = {"event_ts", "request_ts", "arrival_ts", "valid_from", "valid_to"}
    for profile in (config.profiles.user, config.profiles.item):
        moments |= {name for name, kind in profile.columns.items() if kind == "timestamp"}
    unknown = sorted(set(config.ingest.timestamp_units) - moments)
    if unknown:
        raise ValueError(f"ingest.timestamp_units: found {unknown}, wanted some of {sorted(moments)}")


def _check_segments(config: "Config") -> None:
    columns = {
        "user": sorted(config.profiles.user.columns),
        "item": sorted(config.profiles.item.columns),
        "impression": sorted(IMPRESSION_SEGMENTS),
    }
    for name, group in config.features.groups.items():
        if group.segment is None:
            continue
        source, column = group.segment.split(".")
        if column not in columns[source]:
            raise ValueError(
                f"features.groups.{name}.segment: found {group.segment!r}, wanted {source}.<one of {columns[source]}>"
            )
    groups = config.features.groups.values()
    authors = any(g.entity == "author" or "author_id" in g.columns_of for g in groups)
    if authors and config.profiles.item.columns.get("author_id") != "bigint":
        raise ValueError(
            "profiles.item.columns: found no author_id: bigint, wanted it because a group has entity: author or keeps author_id"
        )


def _check_conditions(config: "Config") -> None:
    known = {f"impression.{c}": "string" for c in IMPRESSION_SEGMENTS} | {"impression.position": "int"}
    known |= {c: kind for c, kind in value_types(config).items() if "." in c} | {"value": "double"}
    for name, metric in config.features.metrics.items():
        for condition in metric.where:
            where = f"features.metrics.{name}.where"
            _check_condition(where, condition, known)
            if condition.column == "value" and metric.action not in config.ingest.value_actions:
                raise ValueError(
                    f"{where}: found value on {metric.action!r}, which carries none, "
                    f"wanted an action of ingest.value_actions {config.ingest.value_actions}"
                )


def _check_strata(config: "Config") -> None:
    known = {c: "string" for c in IMPRESSION_SEGMENTS} | {"position": "int", POSITIVE: "int"}
    known |= {name: kind for name, kind, _ in label_facts(config.labels)}
    for stratum in config.sampling.strata:
        for condition in stratum.where:
            _check_condition(f"sampling.strata.{stratum.name}.where", condition, known)


def _check_condition(where: str, condition: Condition, known: Mapping[str, str]) -> None:
    """The column is known, and what it is compared with is of its kind."""
    kind = known.get(condition.column)
    if kind is None or kind == "timestamp":
        fits = sorted(c for c, k in known.items() if k != "timestamp")
        raise ValueError(f"{where}: found {condition.column!r}, wanted one of {fits}")
    bits = {"int": 31, "bigint": 63}.get(kind)
    if bits and any(isinstance(v, int) and not -(1 << bits) <= v < 1 << bits for v in condition.literals):
        raise ValueError(f"{where}: found {condition.words}, wanted numbers that a column of type {kind} can hold")
    texts = all(isinstance(v, str) for v in condition.literals)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in condition.literals)
    if not (texts if kind == "string" else numbers):
        raise ValueError(
            f"{where}: found {condition.words}, wanted {'a text (quote it)' if kind == 'string' else 'a number'} "
            f"to compare {condition.column} ({kind}) with"
        )


def _check_kept_columns(config: "Config") -> None:
    types = value_types(config)
    fits = sorted(c for c, kind in types.items() if kind in ("string", "int", "bigint"))
    for name, group in config.features.groups.items():
        unknown = [c for c in group.columns_of if c not in fits]
        if unknown:
            raise ValueError(f"features.groups.{name}: found of: {unknown[0]!r}, wanted one of {fits}")


def _check_midnight(config: "Config") -> None:
    """S6: with refresh 1d the business midnight must lie on a tile's edge."""
    if not any(g.refresh == timedelta(days=1) for g in config.features.groups.values()):
        return
    offsets = {
        datetime(year, month, 1, 12, tzinfo=ZoneInfo(config.timezone)).utcoffset() or timedelta(0)
        for year in range(2000, 2031)
        for month in range(1, 13)
    }
    if any(offset % config.features.tile for offset in offsets):
        fits = next(m for m in (30, 15) if not any(o % timedelta(minutes=m) for o in offsets))
        raise ValueError(
            f"features.tile: found {duration_name(config.features.tile)}, wanted a divisor of the business midnight of "
            f"{config.timezone}; tile: {fits}m would do"
        )


def _check_unique_names(config: "Config") -> None:
    from headrace.config.columns import RESERVED, feature_columns

    names = Counter(feature.name for feature in feature_columns(config))
    repeated = sorted(name for name, times in names.items() if times > 1)
    if repeated:
        raise ValueError(
            f"features: found {repeated[:5]} generated more than once, wanted unique names; change a group's segment, "
            "metric or windows, or drop one"
        )
    taken = sorted(set(names) & RESERVED)
    if taken:
        raise ValueError(f"features: found {taken}, wanted names that the training set does not use itself")


def slices_of(config: "Config") -> list[Slice]:
    """The slices that traffic is cut by: those declared, without optional ones that this configuration has no source for.

    Raises
    ------
    ValueError
        One that is not optional names no column or entity that fits.
    """
    from headrace.config.columns import feature_columns

    found = []
    types = {f.name: f.type for f in feature_columns(config)} | {c: "string" for c in config.context.columns}
    numbers = {name for name, kind in types.items() if kind in ("int", "bigint", "double")}
    values = {name for name, kind in types.items() if kind in ("string", "int", "boolean")}
    entities: set[str] = {group.entity for group in config.features.groups.values() if group.segment is None}
    for one in config.coverage.slices:
        source, fits = (one.known, entities) if one.known else (one.column, numbers if one.edges else values)
        if source in fits:
            found.append(one)
        elif not one.optional:
            raise ValueError(
                f"coverage.slices: found {source!r} for {one.name!r}, wanted one of {sorted(fits)}, or no such slice"
            )
    return found


def _check_gates(config: "Config") -> None:
    """Names and patterns of the gates fit something: a rule that judges nothing would pass for ever."""
    from headrace.config.columns import feature_columns

    features = feature_columns(config)
    slices = ["all", *(one.name for one in slices_of(config))]
    for name, rule in config.gates.rules:
        if not any(matches(known, rule.slice) for known in slices):
            raise ValueError(
                f"gates: found slice {rule.slice!r} in {name!r}, wanted one of {slices}, or a pattern of them"
            )
        if isinstance(rule, Rows):
            continue
        if not any(rule.fits(f.name, f.source) for f in features):
            close = get_close_matches(rule.features[0], [f.name for f in features], n=3, cutoff=0.4)
            group = f" of group {rule.group!r}" if rule.group else ""
            raise ValueError(
                f"gates: found feature {rule.feature!r}{group} in {name!r}, wanted one that is declared: "
                f"{', '.join(close) or 'headrace features list shows them'}"
            )
        patterns = [*rule.features, *rule.left_out]
        lone = [p for p in patterns if not any(matches(f.name, p) for f in features)]
        if lone:
            raise ValueError(
                f"gates: found feature {lone[0]!r} in {name!r}, wanted one that is declared (headrace features list)"
            )
