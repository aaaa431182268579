"""`headrace features explain`: one cell of one impression, with the events that made it and those left out. No Spark."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import pyarrow.dataset as pads
from rich.console import Console
from rich.table import Table

from features.evidence import Evidence, Lookup, Seen, as_of_moment, evidence, recomputed
from features.states import STATES
from headrace.config import Cell, Config, Group, feature_columns, group_cells
from headrace.delta import is_table, open_dataset
from headrace.durations import duration_name
from headrace.errors import ConfigError, InputError

__all__ = ["explain_cell"]

_SHOWN = 12


def explain_cell(config: Config, *, impression: int, feature: str, ds: date | None, console: Console) -> None:
    """Print value, state, as_of, window, and the events behind one cell.

    Raises
    ------
    ConfigError
        No statistic of that name.
    InputError
        No training row of that impression.
    """
    name, group, cell = _declared(config, feature)
    row = _training_row(config, impression, ds)
    as_of = as_of_moment(row["request_ts"], group, config.timezone)
    key = row[f"{group.entity}_id"]
    segment = None if group.segment_column is None else row[group.segment_column]
    _print_head(console, config, row, cell=cell, group=group, name=name, as_of=as_of, key=key, segment=segment)
    if key is None:
        return
    events, lookup = _events(config, group, key)
    metrics = [cell.metric, *([cell.over] if cell.over else [])]
    found = [
        evidence(
            events, group, metric=m, window=cell.window, as_of=as_of, segment=segment, features=config.features,
            lookup=lookup,
        )
        for m in metrics
    ]  # fmt: skip
    for part in found:
        _print_evidence(console, part)
    _print_repeats(console, config, group, key, metrics)
    again = recomputed(cell, found)
    if again is not None:
        verdict = _verdict(config, row, feature, again)
        console.print(f"counted by hand from these events: [bold]{again}[/], {verdict}")


def _verdict(config: Config, row: dict[str, Any], feature: str, again: object) -> str:
    """Nothing is counted for an unknown key or a null segment: that is no difference."""
    columns = {f.name: n for n, f in enumerate(feature_columns(config))}
    state = STATES[row["feature_states"][columns[feature]]]
    if again == row[feature]:
        return "as stored"
    if state in ("no_entity", "null", "default_filled"):
        return f"and nothing is stored, for the key or segment is unknown at as_of ({state})"
    return "NOT as stored: please report this"


def _declared(config: Config, feature: str) -> tuple[str, Group, Cell]:
    for name, group in config.features.groups.items():
        for cell in group_cells(group):
            if cell.name == feature:
                return name, group, cell
    raise ConfigError(
        f"--feature {feature}",
        found="no statistic of that name",
        wanted="a column of a feature group",
        remedy="headrace features list shows them; profile and context columns are read as they stand",
    )


def _training_row(config: Config, impression: int, ds: date | None) -> dict[str, Any]:
    uri = f"{config.root}/training_set"
    condition = pads.field("impression_id") == impression
    if ds is not None:
        condition &= pads.field("ds") == ds
    rows = open_dataset(uri).to_table(filter=condition).to_pylist() if is_table(uri) else []
    if not rows:
        raise InputError(
            f"--impression {impression}",
            found="no training row of it" + (f" on {ds}" if ds else ""),
            wanted="an impression_id of training_set (sampled out impressions have no row)",
            remedy="take one from the table, or build its day with headrace run",
        )
    return dict(rows[0])


def _read(config: Config, table: str, condition: pads.Expression) -> list[dict[str, Any]]:
    uri = f"{config.root}/{table}"
    return open_dataset(uri).to_table(filter=condition).to_pylist() if is_table(uri) else []


def _events(config: Config, group: Group, key: int) -> tuple[list[dict[str, Any]], Lookup]:
    """All conformed events of the key, and the profiles and impressions beside them."""
    if group.entity == "author":
        own = {v["item_id"] for v in _read(config, "item_profile", pads.field("author_id") == key)}
        condition = pads.field("item_id").isin(list(own))
    else:
        condition = pads.field(f"{group.entity}_id") == key
    shown = [
        {**e, "action": "impression", "value": None, "is_first": True} for e in _read(config, "impressions", condition)
    ]
    events = shown + _read(config, "engagements", condition)
    beside = _read(config, "impressions", pads.field("impression_id").isin([e["impression_id"] for e in events]))
    first: dict[int, dict[str, Any]] = {}
    for row in sorted(beside, key=lambda r: (r["ds"], r["effective_arrival_ts"])):
        first.setdefault(row["impression_id"], row)
    versions = {
        entity: _read(
            config, f"{entity}_profile", pads.field(f"{entity}_id").isin(list({e[f"{entity}_id"] for e in events}))
        )
        for entity in ("user", "item")
    }
    lookup = Lookup(config, versions, first)
    if group.entity == "author":
        events = [e for e in events if lookup.column("item", "author_id", e) == key]
    return events, lookup


def _print_head(
    console: Console, config: Config, row: dict[str, Any], *, cell: Cell, group: Group, name: str, as_of: datetime,
    key: int | None, segment: object,
) -> None:  # fmt: skip
    order = [f.name for f in feature_columns(config)]
    state = STATES[row["feature_states"][order.index(cell.name)]]
    lines = {
        cell.name: f"[bold]{row[cell.name]}[/]  ({state})",
        "impression": f"{row['impression_id']} of {row['ds']}, request_ts {_text(row['request_ts'])}",
        "group": f"{name}: {group.entity}_id {key}" + (f", {group.segment} = {segment!r}" if group.segment else ""),
        "as_of": f"{_text(as_of)} = floor(request_ts - {duration_name(group.delay)}, {duration_name(group.refresh)})",
    }
    if cell.window:
        end = as_of - cell.window.ends
        start = "the first event" if cell.window.length is None else _text(end - cell.window.length)
        lines["window"] = f"[{start}, {_text(end)}) {cell.window.name}".replace("[", r"\[", 1)
    for label, text in lines.items():
        console.print(f"{label:<12} {text}", soft_wrap=True)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")


def _print_evidence(console: Console, found: Evidence) -> None:
    hours = {(_hour(s.event["event_ts"]), _hour(s.visible)) for s in found.counted}
    title = f"{found.metric}: {len(found.counted)} counted, in {len(hours)} hour(s) of event and of visibility"
    console.print(_table(title, found.counted, why=False))
    if found.left_out:
        reasons = Counter(s.reason for s in found.left_out)
        shown = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        console.print(_table(f"{found.metric}: {len(found.left_out)} left out: {shown}", found.left_out, why=True))


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _table(title: str, seen: Sequence[Seen], *, why: bool) -> Table:
    more = f" (the newest {_SHOWN})" if len(seen) > _SHOWN else ""
    table = Table(title=title + more, title_justify="left", header_style="bold")
    for name in ("event_ts", "visible", "impression", "user", "item", "value", *(["why not"] if why else [])):
        table.add_column(name, no_wrap=name == "event_ts")
    for one in seen[:_SHOWN]:
        e = one.event
        ids = [str(e[c]) for c in ("impression_id", "user_id", "item_id")]
        value = "" if e["value"] is None else str(e["value"])
        table.add_row(_text(e["event_ts"]), _text(one.visible), *ids, value, *([one.reason] if why else []))
    return table


def _print_repeats(console: Console, config: Config, group: Group, key: int, metrics: Sequence[str]) -> None:
    """Landing rows of the key that were dropped as repeats: they count once, by the row that stands."""
    if group.entity == "author":
        return
    own = _read(config, "duplicates", pads.field(f"{group.entity}_id") == key)
    actions = {config.features.metrics[m].action for m in metrics}
    own = [r for r in own if r["table_name"] in ("impressions", "engagements")]
    own = [r for r in own if (r["action"] or "impression") in actions]
    if own:
        last = max(r["event_ts"] for r in own) if all(r["event_ts"] for r in own) else None
        console.print(
            f"{len(own)} landing row(s) of this key were dropped as repeats"
            + (f", the last of {_text(last)}" if last else "")
        )
