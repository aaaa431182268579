"""From which rows each group's tiles are made, and all groups' tiles of some landing days in one pass.

Groups that need nothing but the log read its files directly; those that segment by a profile, or reach the author through
the item, need the log joined with profiles; one segmented by a column of the impression needs engagements beside their
impressions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession

from features.assemble import timeline
from features.eventlog import event_log, profile_sources, with_impression, with_profiles
from features.tiles import packed_tiles, packed_tiles_of_files, tile_spec
from headrace import tables
from headrace.arrowfiles import file_tasks
from headrace.config import Config, value_types
from headrace.exchange import exchange

__all__ = ["packed_day_tiles"]

_EVENTS = ("impressions", "engagements")
_EVENTS_PER_PARTITION = 4_000_000  # tiles of so many events, of all groups, fit one task's memory


@contextmanager
def packed_day_tiles(
    spark: SparkSession, config: Config, *, names: Sequence[str], days: Sequence[date]
) -> Iterator[DataFrame]:
    """Partial tiles of groups, met in their partitions; kept until the caller has written them all."""
    features, types = config.features, value_types(config)
    files = {name: tables.files(config, name, days=days) for name in _EVENTS}
    events = sum(file.rows for listed in files.values() for file in listed)
    partitions = config.spark.partitions or max(config.spark.shuffle_partitions, events // _EVENTS_PER_PARTITION + 1)
    specs = {name: tile_spec(features, name, types=types) for name in names}
    by_impression = [name for name in specs if features.impression_columns(name)]
    by_profile = [name for name in specs if profile_sources(features, name) and name not in by_impression]
    plain = [spec for name, spec in specs.items() if name not in (*by_impression, *by_profile)]
    pack = partial(packed_tiles, metrics=features.metrics, partitions=partitions, days=len(days))
    packed = []
    if plain:
        tasks = file_tasks(spark, files)
        given = partial(packed_tiles_of_files, metrics=features.metrics, partitions=partitions, days=len(days))
        packed.append(given(tasks, plain))
    if by_profile:
        log = _profile_log(spark, config, by_profile, days=days)
        packed.append(pack(log, [specs[name] for name in by_profile]))
    for name in by_impression:
        log = _impression_log(spark, config, name, days=days)
        packed.append(pack(log, [specs[name]]))
    together = exchange(packed, partitions=partitions).persist(StorageLevel.DISK_ONLY)
    try:
        yield together
    finally:
        together.unpersist()


def _profile_log(spark: SparkSession, config: Config, names: Sequence[str], *, days: Sequence[date]) -> DataFrame:
    """The log of `days` with the profile columns that the groups look at."""
    impressions, engagements = (tables.read(spark, config, n, days=days) for n in _EVENTS)
    return _with_profiles(spark, config, event_log(impressions, engagements, context=[]), names, days=days)


def _with_profiles(
    spark: SparkSession, config: Config, log: DataFrame, names: Sequence[str], *, days: Sequence[date]
) -> DataFrame:
    sources = {source for name in names for source in profile_sources(config.features, name)}
    users, items = (timeline(spark, config, e, last=max(days)) if e in sources else None for e in ("user", "item"))
    return with_profiles(log, users=users, items=items, timezone=config.timezone)


def _impression_log(spark: SparkSession, config: Config, name: str, *, days: Sequence[date]) -> DataFrame:
    """The log of one group that looks at columns of the impression: pairs may span landing days (S12)."""
    shown, done = (tables.read(spark, config, n, last=max(days)) for n in _EVENTS)
    log = with_impression(
        shown,
        done,
        columns=config.features.impression_columns(name),
        days=[d.isoformat() for d in days],
        segmented=(config.features.groups[name].segment or "").startswith("impression."),
    )
    return _with_profiles(spark, config, log, [name], days=days)
