"""Reads what tiles, labels and features need, joined and as of the right moment; frames in one place, no writing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from features.build import build_features, group_plans, tiles_from_table
from features.clock import to_micros
from features.context import holiday_dates, with_context
from features.profiles import join_profile, profile_timeline
from features.tiles import (
    event_log,
    merged_tiles,
    needs_impression,
    packed_tiles,
    with_impression_segment,
    with_profiles,
)
from headrace import tables
from headrace.config import Config, feature_columns
from headrace.exchange import exchange
from schemas.tables import table

__all__ = ["spine_features", "tile_frames", "timeline"]

_BYTES_PER_TILE, _BYTES_PER_ROW, _PARTITION_BYTES = 120, 1500, 128 << 20


def timeline(spark: SparkSession, config: Config, entity: str, *, last: date) -> DataFrame:
    """Profile versions of `entity` landed by `last`, as spans that do not overlap."""
    profile = tables.read(spark, config, f"{entity}_profile", last=last)
    columns = list(getattr(config.profiles, entity).columns)
    return profile_timeline(profile, key=f"{entity}_id", columns=columns, timezone=config.timezone)


@contextmanager
def tile_frames(spark: SparkSession, config: Config, *, days: Sequence[date]) -> Iterator[dict[str, DataFrame]]:
    """Tiles of every group for the landing days asked; one pass over the log, kept until the caller is done."""
    features, partitions = config.features, config.spark.partitions or config.spark.shuffle_partitions
    own = [name for name, group in features.groups.items() if needs_impression(group)]
    shared = [name for name in features.groups if name not in own]
    logs = [(_shared_log(spark, config, days=days), shared)] if shared else []
    logs += [(_impression_log(spark, config, name, days=days), [name]) for name in own]
    packed = [packed_tiles(log, features, names=names, partitions=partitions, days=len(days)) for log, names in logs]
    together = exchange(packed, partitions=partitions).persist(StorageLevel.DISK_ONLY)
    yield {
        name: merged_tiles(together, features, name=name, schema=table(config, f"tiles_{name}").schema)
        for name in features.groups
    }
    together.unpersist()


def _shared_log(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """The log of `days` with the profile columns that the groups segment by."""
    groups = config.features.groups
    sources = {g.segment.split(".")[0] for g in groups.values() if g.segment}
    authors = any(g.entity == "author" for g in groups.values())
    impressions, engagements = (tables.read(spark, config, n, days=days) for n in ("impressions", "engagements"))
    users = timeline(spark, config, "user", last=max(days)) if "user" in sources else None
    items = timeline(spark, config, "item", last=max(days)) if authors or "item" in sources else None
    log = event_log(impressions, engagements, context=[])
    return with_profiles(log, users=users, items=items, timezone=config.timezone)


def _impression_log(spark: SparkSession, config: Config, name: str, *, days: Sequence[date]) -> DataFrame:
    """The log of one group that is segmented by an impression column: pairs may span landing days (S12)."""
    group = config.features.groups[name]
    items = timeline(spark, config, "item", last=max(days)) if group.entity == "author" else None
    shown, done = (tables.read(spark, config, n, last=max(days)) for n in ("impressions", "engagements"))
    column = (group.segment or "").split(".")[1]
    log = with_impression_segment(shown, done, column=column, days=[d.isoformat() for d in days])
    return with_profiles(log, users=None, items=items, timezone=config.timezone)


def spine_features(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """The training set of `days`: spine, profiles at request_ts, context, statistics, states, defaults."""
    next_day = max(days) + timedelta(days=1)
    rows = tables.read(spark, config, "spine", days=days)
    at = to_micros(F.col("request_ts"))
    for entity in ("user", "item"):
        spans = timeline(spark, config, entity, last=next_day)
        rows = join_profile(rows, spans, key=f"{entity}_id", at=at, prefix=entity)
        rows = rows.withColumns(_ages(config, entity))
    if "item_author_id" in rows.columns:
        rows = rows.withColumnRenamed("item_author_id", "author_id")
    years = range(min(days).year - 1, max(days).year + 2)
    rows = with_context(rows, timezone=config.timezone, holidays=holiday_dates(config.country, years=years))
    partitions = _partitions(spark, config, days=days, last=next_day)
    tiles = {
        plan.name: tiles_from_table(
            tables.read(spark, config, f"tiles_{plan.name}", last=next_day), plan, partitions=partitions
        )
        for plan in group_plans(config.features)
    }
    return build_features(
        rows,
        tiles,
        features=config.features,
        columns=feature_columns(config),
        profiles={e: getattr(config.profiles, e).tolerance for e in ("user", "item")},
        timezone=config.timezone,
        partitions=partitions,
        schema=table(config, "training_set").schema,
    )


def _ages(config: Config, entity: str) -> dict[str, F.Column]:  # type: ignore[name-defined]
    """<entity>_<column>_age_s in place of each timestamp of the profile, in exact microseconds over 1e6."""
    stamps = [c for c, kind in getattr(config.profiles, entity).columns.items() if kind == "timestamp"]
    return {
        f"{entity}_{c.removesuffix('_ts')}_age_s": (to_micros(F.col("request_ts")) - to_micros(F.col(f"{entity}_{c}")))
        / 1e6
        for c in stamps
    }


def _partitions(spark: SparkSession, config: Config, *, days: Sequence[date], last: date) -> int:
    """Tasks per exchange: as configured, or so that one task's rows and tiles fit its share of memory."""
    if config.spark.partitions:
        return config.spark.partitions
    spine = sum(tables.row_counts(config, "spine", days=days).values())
    tiles = sum(tables.total_rows(config, f"tiles_{n}") for n in config.features.groups)
    needed = (spine * _BYTES_PER_ROW + tiles * _BYTES_PER_TILE) // _PARTITION_BYTES + 1
    return int(max(needed, spark.sparkContext.defaultParallelism))
