"""Many cases in one configuration: groups that share delay and refresh are merged, their metrics get a suffix."""

from collections.abc import Sequence
from typing import Any

from headrace.config import FeaturesConfig, Group
from headrace.config.columns import group_columns
from tests.conformance.case import Case, catalogue

__all__ = ["case_features", "column_names", "world_features"]

_LISTS = ("windows", "count", "sum", "mean", "recency", "rate")
_TOLERANCE = "36500d"  # staleness is no matter of windows


def world_features(cases: Sequence[Case], *, tile: str) -> dict[str, Any]:
    """The `features` part of a world's configuration."""
    groups: dict[str, dict[str, Any]] = {}
    for case in cases:
        for group in case.groups:
            renamed = _renamed(group, _suffix(cases, group))
            _merge(groups.setdefault(_world_name(cases, group), {}), renamed)
    metrics = {
        f"{m}{_suffix(cases, group)}": catalogue()["metrics"][m]
        for case in cases
        for group in case.groups
        for m in _group(group).metric_names
    }
    return {"tile": tile, "metrics": metrics, "groups": groups}


def case_features(case: Case, *, tile: str) -> FeaturesConfig:
    """The groups of one case under their natural names: `g0`, `g1`, ..."""
    groups = {f"g{n}": {"tolerance": _TOLERANCE, **group} for n, group in enumerate(case.groups)}
    return FeaturesConfig.model_validate({"tile": tile, "metrics": catalogue()["metrics"], "groups": groups})


def column_names(case: Case, cases: Sequence[Case], *, tile: str) -> dict[str, tuple[str, str]]:
    """Natural feature name of a case -> (group, column) of its world."""
    names: dict[str, tuple[str, str]] = {}
    plain = case_features(case, tile=tile)
    for group, own in zip(case.groups, plain.groups.values(), strict=True):
        suffix = _suffix(cases, group)
        metrics = {f"{m}{suffix}": plain.metrics[m] for m in plain.metrics}
        features = plain.model_copy(update={"metrics": metrics})
        natural = group_columns(plain, "own", own)
        moved = group_columns(features, "moved", _group(_renamed(group, suffix)))
        for here, there in zip(natural, moved, strict=True):
            assert here.name not in names, f"{case.name}: {here.name} twice"
            names[here.name] = (_world_name(cases, group), there.name)
    return names


def _group(group: dict[str, Any]) -> Group:
    return Group.model_validate({"tolerance": _TOLERANCE, **group})


def _pace(group: dict[str, Any]) -> tuple[str, str]:
    return str(group["delay"]), str(group["refresh"])


def _suffix(cases: Sequence[Case], group: dict[str, Any]) -> str:
    """Nothing for the first delay and refresh of a world, _k1 for the second, ..."""
    paces = list(dict.fromkeys(_pace(g) for case in cases for g in case.groups))
    number = paces.index(_pace(group))
    return f"_k{number}" if number else ""


def _world_name(cases: Sequence[Case], group: dict[str, Any]) -> str:
    return f"{_group(group).prefix}{_suffix(cases, group)}"


def _renamed(group: dict[str, Any], suffix: str) -> dict[str, Any]:
    changed = {"tolerance": _TOLERANCE, **group}
    for name in ("count", "sum", "mean", "recency"):
        changed[name] = [f"{m}{suffix}" for m in group.get(name, [])]
    changed["rate"] = [_rate(text, suffix) for text in group.get("rate", [])]
    changed["rate_smoothed"] = {_rate(text, suffix): k for text, k in group.get("rate_smoothed", {}).items()}
    return changed


def _rate(text: str, suffix: str) -> str:
    top, _, bottom = text.partition("/")
    return f"{top}{suffix}/{bottom or 'impression'}{suffix}"


def _merge(into: dict[str, Any], group: dict[str, Any]) -> None:
    """Add windows, metrics and rates that are not there yet."""
    for name, value in group.items():
        if name == "windows":
            have = {str(w): w for w in into.get(name, [])}
            into[name] = list({_window(str(w)): w for w in [*have.values(), *value]}.values())
        elif name in _LISTS:
            into[name] = list(dict.fromkeys([*into.get(name, []), *value]))
        elif name == "rate_smoothed":
            into[name] = {**value, **into.get(name, {})}
            assert all(into[name][r] == k for r, k in value.items()), f"{value}: another k than a case before"
        else:
            into[name] = value


def _window(text: str) -> str:
    from headrace.durations import duration_name, parse_duration

    return duration_name(parse_duration(text))
