"""The cases as jobs for the peers: conformed rows of our own ingest, grouped by the settings of their feature groups."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from headrace.config import Group
from headrace.config.columns import group_columns
from headrace.days import day_start, epoch_micros
from headrace.durations import Window, micros
from tests.conformance.case import Case, catalogue
from tests.conformance.engine import Built, tile_of
from tests.conformance.names import case_features

__all__ = ["export_jobs"]

_PROFILES = {"user": ("gender",), "item": ("author_id", "category")}
Row = dict[str, Any]


def export_jobs(worlds: Iterable[Built]) -> list[Row]:
    """One job per world, entity, segment, delay and refresh, and one per world and entity for profile columns."""
    jobs: dict[tuple[Any, ...], Row] = {}
    for built in worlds:
        for case in built.cases:
            rows = _rows(built, case)
            for group, features in _group_features(case):
                key: tuple[Any, ...] = (
                    case.world,
                    group.entity,
                    group.segment,
                    micros(group.delay),
                    micros(group.refresh),
                )
                _add(jobs, key, kind="group", timezone=built.config.timezone, features=features, rows=rows)
            for entity in _PROFILES:
                asked = sorted({f for cells in case.expect.values() for f in cells if f.startswith(f"{entity}_")})
                columns = [f for f in asked if f.removeprefix(f"{entity}_") in _PROFILES[entity]]
                if columns:
                    found = [_feature(f, "profile", ("", False)) for f in columns]
                    key = (case.world, entity, "profile", 0, 0)
                    _add(jobs, key, kind="profile", timezone=built.config.timezone, features=found, rows=rows)
    return list(jobs.values())


def _add(
    jobs: dict[tuple[Any, ...], Row], key: tuple[Any, ...], *, kind: str, timezone: str, features: list[Row], rows: Row
) -> None:
    _, entity, segment, delay, refresh = key
    empty: Row = {name: [] for name in ("features", "events", "users", "items", "asks", "ready")}
    facts = {"kind": kind, "timezone": timezone, "entity": entity, "delay_us": delay, "refresh_us": refresh}
    job = jobs.setdefault(key, {**facts, "segment": None if kind == "profile" else segment, **empty})
    job["features"] += [f for f in features if f not in job["features"]]
    for name, own in rows.items():
        job[name] += [row for row in own if row not in job[name]]


def _feature(name: str, kind: str, top: tuple[str, bool], **more: Any) -> Row:
    return {"name": name, "kind": kind, "top": top, "bottom": None, "window_us": None, "strength": None, **more}


def _group_features(case: Case) -> Iterable[tuple[Group, list[Row]]]:
    features = case_features(case, tile=tile_of(case.world))
    wanted = {f for cells in case.expect.values() for f in cells}
    for name, group in features.groups.items():
        names = [f.name for f in group_columns(features, name, group)]
        specs = list(_specs(group))
        yield group, [_feature(n, *args, **more) for n, (args, more) in zip(names, specs, strict=True) if n in wanted]


def _specs(group: Group) -> Iterable[tuple[tuple[str, tuple[str, bool]], Row]]:
    """Kind, metric and more of each column, in the order of headrace.config.columns."""
    for kind in ("count", "sum", "mean"):
        for m in getattr(group, kind):
            yield from (((kind, _metric(m)), {"window_us": _length(w)}) for w in group.windows)
    for rate in group.rates:
        kind = "rate" if rate.strength is None else "rate_smoothed"
        for w in group.windows:
            more = {"bottom": _metric(rate.denominator), "strength": rate.strength, "window_us": _length(w)}
            yield (kind, _metric(rate.numerator)), more
    for m in group.recency:
        yield ("recency", _metric(m)), {}


def _length(window: Window) -> int:
    assert window.length is not None and not window.ends, "the cases' windows are plain lengths"
    return micros(window.length)


def _metric(name: str) -> tuple[str, bool]:
    declared = catalogue()["metrics"][name]
    return declared["action"], declared.get("once", False)


def _rows(built: Built, case: Case) -> dict[str, list[Row]]:
    impressions = built.rows_of(case, "impressions")
    scenes = {r["impression_id"]: r["scene"] for r in impressions}
    shown = [{**r, "action": "impression", "value": None, "is_first": True} for r in impressions]
    done = [{**r, "scene": scenes.get(r["impression_id"])} for r in built.rows_of(case, "engagements")]
    events = [_event(case, r) for r in (*shown, *done)]
    asks = []
    for ask in case.expect:
        row = built.training[built.id_of(case, ask)]
        asks.append({"case": case.name, "ask": str(ask), "request_us": _us(row["request_ts"]), **_ids(row)})
    profiles = {f"{e}s": _versions(built, case, e) for e in _PROFILES}
    return {"events": events, "asks": asks, **profiles}


def _ids(row: Row) -> Row:
    return {name: row[name] for name in ("user_id", "item_id", "scene")}


def _event(case: Case, row: Row) -> Row:
    moments = {"event_us": _us(row["event_ts"]), "arrival_us": _us(row["effective_arrival_ts"])}
    plain = {name: row[name] for name in ("action", "value", "is_first")}
    return {"case": case.name, **_ids(row), **plain, **moments}


def _versions(built: Built, case: Case, entity: str) -> list[Row]:
    """One row a landing of a version: the columns that landed first, and the valid_to known from this landing on."""
    first: dict[tuple[int, datetime], Row] = {}
    found = []
    rows = built.rows_of(case, f"{entity}_profile")
    for row in sorted(rows, key=lambda r: (r["ds"], r["sets_valid_to"])):
        stands = first.setdefault((row[f"{entity}_id"], row["valid_from"]), row)
        moments = {
            "valid_from_us": _us(row["valid_from"]),
            "valid_to_us": None if row["valid_to"] is None else _us(row["valid_to"]),
            "landed_us": _us(day_start(row["ds"], built.config.timezone)),
        }
        own = {c: stands[c] for c in _PROFILES[entity]}
        found.append({"case": case.name, "key": row[f"{entity}_id"], **moments, **own})
    return found


def _us(moment: datetime) -> int:
    return epoch_micros(moment)
