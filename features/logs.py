"""From which rows each group's tiles are made, and all groups' tiles of some landing days in one pass.

Groups that need nothing but the log read its files directly; those that segment by a profile, or reach the author through
the item, need the log joined with profiles; one segmented by a column of the impression needs engagements beside their
impressions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.assemble import timeline
from features.tiles import (
    event_log,
    needs_impression,
    needs_profile,
    packed_tiles,
    packed_tiles_of_files,
    with_impression_segment,
    with_profiles,
)
from headrace import tables
from headrace.arrowfiles import file_tasks
from headrace.config import Config
from headrace.exchange import exchange

__all__ = ["packed_day_tiles"]

_EVENTS = ("impressions", "engagements")
_EVENTS_PER_PARTITION = 4_000_000  # tiles of so many events, of all groups, fit one task's memory


@contextmanager
def packed_day_tiles(spark: SparkSession, config: Config, *, days: Sequence[date]) -> Iterator[DataFrame]:
    """Partial tiles of every group, met in their partitions; kept until the caller has written all groups."""
    groups = config.features.groups
    files = {name: tables.files(config, name, days=days) for name in _EVENTS}
    events = sum(file.rows for listed in files.values() for file in listed)
    partitions = config.spark.partitions or max(config.spark.shuffle_partitions, events // _EVENTS_PER_PARTITION + 1)
    given = {"partitions": partitions, "days": len(days)}
    by_impression = [name for name, group in groups.items() if needs_impression(group)]
    by_profile = [name for name, group in groups.items() if needs_profile(group) and name not in by_impression]
    plain = [name for name in groups if name not in (*by_impression, *by_profile)]
    packed = []
    if plain:
        packed.append(packed_tiles_of_files(file_tasks(spark, files), config.features, names=plain, **given))
    if by_profile:
        log = _profile_log(spark, config, by_profile, days=days)
        packed.append(packed_tiles(log, config.features, names=by_profile, **given))
    for name in by_impression:
        log = _impression_log(spark, config, name, days=days)
        packed.append(packed_tiles(log, config.features, names=[name], **given))
    together = exchange(packed, partitions=partitions).persist(StorageLevel.DISK_ONLY)
    try:
        yield together
    finally:
        together.unpersist()


def _profile_log(spark: SparkSession, config: Config, names: Sequence[str], *, days: Sequence[date]) -> DataFrame:
    """The log of `days` with the profile columns that the groups segment by."""
    groups = [config.features.groups[name] for name in names]
    sources = {g.segment.split(".")[0] for g in groups if g.segment}
    authors = any(g.entity == "author" for g in groups)
    impressions, engagements = (tables.read(spark, config, n, days=days) for n in _EVENTS)
    users = timeline(spark, config, "user", last=max(days)) if "user" in sources else None
    items = timeline(spark, config, "item", last=max(days)) if authors or "item" in sources else None
    log = event_log(impressions, engagements, context=[])
    return with_profiles(log, users=users, items=items, timezone=config.timezone)


def _impression_log(spark: SparkSession, config: Config, name: str, *, days: Sequence[date]) -> DataFrame:
    """The log of one group that is segmented by an impression column: pairs may span landing days (S12)."""
    group = config.features.groups[name]
    items = timeline(spark, config, "item", last=max(days)) if group.entity == "author" else None
    shown, done = (tables.read(spark, config, n, last=max(days)) for n in _EVENTS)
    column = (group.segment or "").split(".")[1]
    log = with_impression_segment(shown, done, column=column, days=[d.isoformat() for d in days])
    return with_profiles(log, users=None, items=items, timezone=config.timezone)
