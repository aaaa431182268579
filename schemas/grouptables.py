"""Tables of a feature group: its tiles, its states, its snapshots. Columns follow from what the group declares."""

from dataclasses import replace

from headrace.config import Config, Group, feature_columns, group_cells, measures_of, value_types
from headrace.config.measures import lasting_measures, summed_columns
from schemas.columns import Table, make_table

__all__ = ["priors_schema", "segment_type", "state_schema", "stats_schema", "tiles_schema"]


def segment_type(config: Config, group: Group) -> str | None:
    """Spark type of the group's segment column, or None without a segment."""
    if group.segment is None:
        return None
    source, column = group.segment.split(".")
    if source == "impression":
        return "int" if column == "position" else "string"
    return str(getattr(config.profiles, source).columns[column])


def tiles_schema(config: Config, name: str) -> Table:
    """`tiles_<group>`: one row per key (x segment) x event_hour x visible_hour, appended per landing day."""
    group = config.features.groups[name]
    kind, measures = segment_type(config, group), measures_of(group_cells(group), types=value_types(config))
    lines = [f"key bigint! {group.entity}_id"]
    lines += [f"segment {kind} {group.segment}; null counts in no segment"] if kind else []
    lines += [
        "event_hour timestamp! start of the tile of event_ts (the exact moment with refresh 0)",
        "visible_hour timestamp! start of the tile of visible_ts (the exact moment with refresh 0)",
        "known_ts timestamp! earliest visible_ts of any event of the entity in this row, segment aside",
    ]
    lines += [" ".join(c) for measure in measures for c in measure.columns]
    lines += ["ds date! landing day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x event_hour x visible_hour x ds"
    key = f"key{' segment' if kind else ''} event_hour visible_hour ds"
    return replace(make_table(f"tiles_{name}", grain, key, "\n".join(lines)), bounded=("event_hour", "visible_hour"))


def state_schema(config: Config, name: str) -> Table:
    """`state_<group>`: one row per key (x segment) x ds: what the next day starts from (features/state.py)."""
    group = config.features.groups[name]
    kind, cells = segment_type(config, group), group_cells(group)
    measures = measures_of(cells, types=value_types(config))
    lines = [f"key bigint! {group.entity}_id"] + ([f"segment {kind} {group.segment}"] if kind else [])
    lines += [
        "as_of timestamp! moment that the row speaks of",
        "known_ts timestamp! earliest visible_ts of the key here",
    ]
    lines += [" ".join(c) for measure in lasting_measures(measures) for c in measure.columns]
    lines += [f"{n} bigint {c} in {w.name}" for (c, w), n in summed_columns(cells, measures).items()] + ["ds date! day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x ds"
    return make_table(f"state_{name}", grain, f"key{' segment' if kind else ''} ds", "\n".join(lines))


def stats_schema(config: Config, name: str) -> Table:
    """`stats_<group>`: one row per key (x segment) x ds with news, as an impression at the end of ds would see it (S23)."""
    group = config.features.groups[name]
    kind = segment_type(config, group)
    lines = [f"key bigint! {group.entity}_id"] + ([f"segment {kind} {group.segment}"] if kind else [])
    features = [f for f in feature_columns(config) if f.source == f"group:{name}"]
    lines += ["as_of timestamp! moment that the cells speak of: floor(end of ds - delay, refresh)"]
    lines += [
        "touched_ts timestamp tile in which the newest event of the row became visible; null: no event, a key alone"
    ]
    lines += [f"{f.name} {f.type} {f.definition}" for f in features] + ["ds date! day"]
    grain = f"{group.entity}_id{' x segment' if kind else ''} x ds on which a cell changed since the day before"
    return make_table(f"stats_{name}", grain, f"key{' segment' if kind else ''} ds", "\n".join(lines))


def priors_schema(config: Config, name: str) -> Table:
    """`priors_<group>`: the population's rates of one moment, for segments that a key has not met (S23)."""
    group = config.features.groups[name]
    kind = segment_type(config, group)
    smoothed = [c for c in group_cells(group) if c.aggregate == "rate_smoothed"]
    lines = [f"segment {kind} {group.segment}"] if kind else []
    lines += ["as_of timestamp! moment that the rates speak of"]
    lines += [f"{c.name} double {c.metric} per {c.over} of all keys" for c in smoothed] + ["ds date! day"]
    return make_table(
        f"priors_{name}", f"{'segment x ' if kind else ''}ds", f"{'segment ' if kind else ''}ds", "\n".join(lines)
    )
