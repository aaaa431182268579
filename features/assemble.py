"""Reads what labels and features need, joined and as of the right moment; frames in one place, no writing."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from features.build import Sink, build_features, by_entity
from features.clock import to_micros
from features.context import holiday_dates, with_context
from features.profiles import join_profile, profile_timeline
from features.reading import BYTES_PER_TILE, PARTITION_BYTES, GroupFiles, packed_files, spine_files, tile_rows
from features.skew import hot_authors, hot_keys
from headrace import tables
from headrace.config import Config, feature_columns, value_types
from headrace.exchange import Hot
from schemas.tables import table

__all__ = ["spine_features", "timeline"]

_ROWS_WORTH_A_LOOK = 1_000_000
_BYTES_PER_ROW, _BYTES_PER_CELL = 400, 10


def timeline(spark: SparkSession, config: Config, entity: str, *, last: date) -> DataFrame:
    """Profile versions of `entity` landed by `last`, as spans that do not overlap."""
    profile = tables.read(spark, config, f"{entity}_profile", last=last)
    columns = list(getattr(config.profiles, entity).columns)
    return profile_timeline(profile, key=f"{entity}_id", columns=columns, timezone=config.timezone)


def spine_features(
    spark: SparkSession,
    config: Config,
    *,
    days: Sequence[date],
    groups: Sequence[GroupFiles] | None = None,
    stored: Sequence[str] = (),
    sink: tuple[Sink, str] | None = None,
) -> DataFrame:
    """The training set of `days`: spine, profiles at request_ts, context, statistics, states, defaults.

    Parameters
    ----------
    groups : features.reading.spine_files; without, all tiles of all groups are read
    stored : features that stand in the training set already, in the order of its states: only `groups` are computed
    sink : features.build.build_features
    """
    rows = _stored_rows(spark, config, stored, days=days) if stored else _spine_rows(spark, config, days=days)
    groups = groups if groups is not None else spine_files(config, days=days, states=[])
    partitions = _partitions(spark, config, groups, days=days)
    by = by_entity([group.plan for group in groups])
    hot = _hot(spark, config, list(by), days=days, partitions=partitions)
    tiles = {
        entity: packed_files(
            spark, [g for g in groups if g.plan.entity == entity], partitions=partitions, hot=hot.get(entity)
        )
        for entity in by
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
        types=value_types(config),
        hot=hot,
        plans=[group.plan for group in groups],
        stored=stored,
        sink=sink,
    )


def _spine_rows(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """The spine with profile columns at request_ts and context."""
    rows = tables.read(spark, config, "spine", days=days)
    at = to_micros(F.col("request_ts"))
    for entity in ("user", "item"):
        spans = timeline(spark, config, entity, last=max(days) + timedelta(days=1))
        rows = join_profile(rows, spans, key=f"{entity}_id", at=at, prefix=entity)
        rows = rows.withColumns(_ages(config, entity))
    if "item_author_id" in rows.columns:
        rows = rows.withColumnRenamed("item_author_id", "author_id")
    years = range(min(days).year - 1, max(days).year + 2)
    return with_context(rows, timezone=config.timezone, holidays=holiday_dates(config.country, years=years))


def _stored_rows(spark: SparkSession, config: Config, stored: Sequence[str], *, days: Sequence[date]) -> DataFrame:
    """Rows of the training set without features that are to be computed."""
    rows = tables.read(spark, config, "training_set", days=days)
    computed = {f.name for f in feature_columns(config)} - set(stored)
    return rows.drop(*computed)


def _hot(
    spark: SparkSession, config: Config, entities: Sequence[str], *, days: Sequence[date], partitions: int
) -> dict[str, Hot]:
    """Hot keys of each entity; a small spine, or one for few partitions, is not worth a look."""
    files = tables.files(config, "spine", days=days)
    rows = sum(file.rows for file in files)
    if rows < _ROWS_WORTH_A_LOOK or partitions < 3:
        return {}
    found = hot_keys(spark, files, columns=[f"{e}_id" for e in entities if e != "author"], partitions=partitions)
    hot = {name.removesuffix("_id"): keys for name, keys in found.items()}
    if "author" in entities:
        latest = tables.read(spark, config, "item_profile", last=max(days) + timedelta(days=1))
        authors = latest.groupBy("item_id").agg(F.max_by("author_id", "valid_from").alias("author_id"))
        items = tables.read(spark, config, "spine", days=days).select("item_id")
        hot["author"] = hot_authors(items, authors, rows=rows, partitions=partitions)
    return hot


def _ages(config: Config, entity: str) -> dict[str, F.Column]:  # type: ignore[name-defined]
    """<entity>_<column>_age_s in place of each timestamp of the profile, in exact microseconds over 1e6."""
    stamps = [c for c, kind in getattr(config.profiles, entity).columns.items() if kind == "timestamp"]
    return {
        f"{entity}_{c.removesuffix('_ts')}_age_s": (to_micros(F.col("request_ts")) - to_micros(F.col(f"{entity}_{c}")))
        / 1e6
        for c in stamps
    }


def _partitions(spark: SparkSession, config: Config, groups: Sequence[GroupFiles], *, days: Sequence[date]) -> int:
    """Tasks per exchange: as configured, or so that one task's rows and tiles fit its share of memory."""
    if config.spark.partitions:
        return config.spark.partitions
    spine = sum(tables.row_counts(config, "spine", days=days).values())
    row = _BYTES_PER_ROW + _BYTES_PER_CELL * len(feature_columns(config))
    needed = (spine * row + sum(tile_rows(groups).values()) * BYTES_PER_TILE) // PARTITION_BYTES + 1
    return int(max(needed, spark.sparkContext.defaultParallelism))
