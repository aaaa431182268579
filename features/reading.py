"""Which files of tiles and states a group's answers need, and the packed frames that bring them to the rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.build import group_plans
from features.evidence import as_of_moment
from features.nightly import Start, needed_files, started
from features.plan import GroupPlan
from features.tilefiles import packed_populations, packed_state_files, packed_tile_files
from headrace import tables
from headrace.arrowfiles import file_tasks
from headrace.config import Config, feature_columns, value_types
from headrace.days import day_end
from headrace.delta import DeltaFile
from headrace.exchange import Hot, exchange
from headrace.receipts import latest_receipts
from headrace.reuse import MADE_OF, kept_features, made_of_features

__all__ = [
    "BYTES_PER_TILE",
    "PARTITION_BYTES",
    "GroupFiles",
    "feature_notes",
    "met",
    "packed_files",
    "snapshot_files",
    "spine_files",
    "state_files",
    "state_moment",
    "state_start",
    "tile_rows",
    "without_stored",
]

BYTES_PER_TILE, PARTITION_BYTES = 120, 128 << 20
_ORDER = "feature_order"


@dataclass(frozen=True)
class GroupFiles:
    """One group: its plan, from a state or from all tiles, and the files that go with it."""

    plan: GroupPlan
    tiles: list[DeltaFile]
    state: list[DeltaFile]


def state_moment(config: Config, group: str, ds: date) -> datetime:
    """What the state of a day speaks of: as_of of an impression at its end (S23)."""
    return as_of_moment(day_end(ds, config.timezone), config.features.groups[group], config.timezone)


def state_start(config: Config, group: str, states: Iterable[date], *, until: datetime) -> Start | None:
    """The latest state that speaks of a moment up to `until`."""
    fitting = [Start(ds, state_moment(config, group, ds)) for ds in sorted(states)]
    fitting = [start for start in fitting if start.moment <= until]
    return fitting[-1] if fitting else None


def spine_files(config: Config, *, days: Sequence[date], states: Iterable[date]) -> list[GroupFiles]:
    """What the training rows of `days` need of every group; from states where there are fitting ones."""
    asked = _asked(config, days)
    found = []
    for plan in group_plans(config.features, types=value_types(config)):
        files = tables.files(config, f"tiles_{plan.name}", last=max(days) + timedelta(days=1))
        group = config.features.groups[plan.name]
        start = None
        if asked is not None:
            first, last = (as_of_moment(moment, group, config.timezone) for moment in asked)
            start = state_start(config, plan.name, states, until=first)
        if start is None or asked is None:
            found.append(GroupFiles(plan, files, []))
            continue
        plan = started(plan, start)
        kept = needed_files(plan, files, first=first, last=last)
        found.append(GroupFiles(plan, kept, tables.files(config, f"state_{plan.name}", days=[start.ds])))
    return found


def _asked(config: Config, days: Sequence[date]) -> tuple[datetime, datetime] | None:
    """Earliest and latest request_ts of the spine, from the Delta log; None where it does not say."""
    bounds = [file.bounds for file in tables.files(config, "spine", days=days)]
    known = [b["request_ts"] for b in bounds if b and "request_ts" in b]
    if not known or len(known) < len(bounds):
        return None
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    low, high = min(b[0] for b in known), max(b[1] for b in known)
    return epoch + timedelta(microseconds=low), epoch + timedelta(microseconds=high)


@contextmanager
def met(spark: SparkSession, config: Config, groups: Sequence[GroupFiles], *, priors: bool) -> Iterator[DataFrame]:
    """What `packed_files` packs, in the partitions it names; kept until the caller has written all groups."""
    rows = sum(file.rows for group in groups for file in [*group.tiles, *group.state])
    least = int(spark.sparkContext.defaultParallelism)
    partitions = config.spark.partitions or max(rows * BYTES_PER_TILE // PARTITION_BYTES + 1, least)
    packed = packed_files(spark, groups, partitions=partitions, priors=priors)
    together = exchange(packed, partitions=partitions).persist(StorageLevel.DISK_ONLY)
    try:
        yield together
    finally:
        together.unpersist()


def snapshot_files(config: Config, *, last: date) -> list[GroupFiles]:
    """All tiles up to a day."""
    plans = group_plans(config.features, types=value_types(config))
    return [GroupFiles(plan, tables.files(config, f"tiles_{plan.name}", last=last), []) for plan in plans]


def state_files(config: Config, *, day: date, states: Iterable[date]) -> list[GroupFiles]:
    """What the state of a day needs, from the latest of `states` before it."""
    earlier = [ds for ds in states if ds < day]
    found = []
    for group in snapshot_files(config, last=day):
        moment = state_moment(config, group.plan.name, day)
        start = state_start(config, group.plan.name, earlier, until=moment)
        if start is not None:
            plan = started(group.plan, start)
            kept = needed_files(plan, group.tiles, first=moment, last=moment)
            group = GroupFiles(plan, kept, tables.files(config, f"state_{plan.name}", days=[start.ds]))
        found.append(group)
    return found


def without_stored(
    config: Config, groups: Sequence[GroupFiles], *, days: Sequence[date]
) -> tuple[list[str], list[GroupFiles]]:
    """Features that stand in the training set of these days as they would be built, and the groups that do not.

    Where all stand, or none, everything is built.
    """
    kept = kept_features(config, days)
    latest = latest_receipts(config)
    orders = {latest["features", day].notes.get(_ORDER, "") for day in days if ("features", day) in latest}
    if not kept or len(kept) == len(groups) or len(orders) != 1:
        return [], list(groups)
    missing = [group for group in groups if group.plan.name not in kept]
    computed = {cell.name for group in missing for cell in group.plan.cells}
    stored = json.loads(orders.pop())
    return ([], list(groups)) if computed & set(stored) else (stored, missing)


def feature_notes(config: Config, groups: Iterable[GroupFiles]) -> dict[str, str]:
    """What a receipt of `features` says beside its rows: tile rows opened, what each group was made of, the columns."""
    notes = {f"tiles_{name}.rows_read": str(rows) for name, rows in tile_rows(groups).items()}
    notes[MADE_OF] = json.dumps(made_of_features(config))
    notes[_ORDER] = json.dumps([feature.name for feature in feature_columns(config)])
    return notes


def tile_rows(groups: Iterable[GroupFiles]) -> dict[str, int]:
    """Rows of tiles that are opened, by group."""
    return {group.plan.name: sum(file.rows for file in group.tiles) for group in groups}


def packed_files(
    spark: SparkSession, groups: Sequence[GroupFiles], *, partitions: int, hot: Hot | None = None, priors: bool = True
) -> list[DataFrame]:
    """Tiles, states and (for `priors`) populations of groups, straight from their files; hot keys are of one entity."""
    plans = [group.plan for group in groups]
    files = {group.plan.name: group.tiles for group in groups}
    packed = [packed_tile_files(file_tasks(spark, files), plans, partitions=partitions, hot=hot)]
    states = {group.plan.name: group.state for group in groups if group.state}
    if states:
        own = [plan for plan in plans if plan.name in states]
        packed.append(packed_state_files(file_tasks(spark, states), own, partitions=partitions, hot=hot))
    smoothed = [plan for plan in plans if plan.population_metrics and priors]
    if smoothed:
        tasks = file_tasks(spark, {plan.name: files[plan.name] for plan in smoothed})
        packed.append(packed_populations(tasks, smoothed, partitions=partitions))
    return packed
