"""Events to tiles: one row per key (x segment) x event_hour x visible_hour x landing day, additive columns (S24).

Tiles are append-only: everything a landing day contributes stands in its own partition and is never rewritten by a
later day, because the visible time is part of the key.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from features.clock import floor_micros, to_micros, visible_micros
from features.profiles import join_profile
from headrace.config import FeaturesConfig, Group, Metric
from schemas.days import ds_start

__all__ = ["MICROUNITS", "event_log", "group_tiles", "with_impression_segment", "with_profiles"]

MICROUNITS = 1_000_000
_SHARED = ["user_id", "item_id", "event_ts", "effective_arrival_ts", "impression_id", "ds"]


def event_log(impressions: DataFrame, engagements: DataFrame, *, context: list[str]) -> DataFrame:
    """Impressions and engagements as one log with `action`; `context` columns are null on engagements."""
    shown = impressions.select(
        *_SHARED,
        *context,
        F.lit("impression").alias("action"),
        F.lit(None).cast("double").alias("value"),
        F.lit(True).alias("is_first"),
    )
    done = engagements.select(
        *_SHARED,
        *[F.lit(None).cast(impressions.schema[c].dataType).alias(c) for c in context],
        "action",
        "value",
        "is_first",
    )
    return shown.unionByName(done)


def with_profiles(events: DataFrame, *, users: DataFrame | None, items: DataFrame | None, timezone: str) -> DataFrame:
    """Profile columns of both sides at each event's own event_ts (S16), as `user_<column>` and `item_<column>`.

    An event stamped after the end of its landing day reads the profiles as of that day's end, so that a day's tiles
    never need a profile that lands later.
    """
    end = to_micros(ds_start(F.date_add("ds", 1), timezone)) - 1
    at = F.least(to_micros(F.col("event_ts")), end)
    if users is not None:
        events = join_profile(events, users, key="user_id", at=at, prefix="user")
    if items is not None:
        events = join_profile(events, items, key="item_id", at=at, prefix="item")
        if "item_author_id" in events.columns:
            events = events.withColumnRenamed("item_author_id", "author_id")
    return events


def with_impression_segment(
    impressions: DataFrame, engagements: DataFrame, *, column: str, days: list[str]
) -> DataFrame:
    """The log of `days` for a group segmented by an impression column (S12).

    An engagement takes the value of its impression as first landed and is visible from the later of the two; where the
    impression lands after it, the pair belongs to the impression's landing day, and the engagement alone, without a
    segment, to its own: it makes the key known.
    """
    first = Window.partitionBy("impression_id").orderBy("ds", "effective_arrival_ts")
    landed = (
        impressions.withColumn("_rank", F.row_number().over(first))
        .where("_rank = 1")
        .select(
            F.col("impression_id").alias("_id"),
            F.col(column).alias("_value"),
            F.col("ds").alias("_ds"),
            F.col("effective_arrival_ts").alias("_arrival"),
        )
    )
    shown = event_log(impressions, engagements.limit(0), context=[column]).withColumn(
        "own_arrival_ts", F.col("effective_arrival_ts")
    )
    done = engagements.join(landed, F.col("impression_id") == F.col("_id"), how="left")
    later = F.col("_ds") > F.col("ds")
    alone = done.where(F.col("_ds").isNull() | later).select(
        *_SHARED,
        F.lit(None).cast(impressions.schema[column].dataType).alias(column),
        "action",
        "value",
        "is_first",
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    paired = done.where(F.col("_ds").isNotNull()).select(
        "user_id",
        "item_id",
        "event_ts",
        F.greatest("effective_arrival_ts", "_arrival").alias("effective_arrival_ts"),
        "impression_id",
        F.greatest("ds", "_ds").alias("ds"),
        F.col("_value").alias(column),
        "action",
        "value",
        "is_first",
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    together = shown.unionByName(alone).unionByName(paired)
    return together.where(F.col("ds").cast("string").isin(days))


def group_tiles(events: DataFrame, features: FeaturesConfig, *, name: str) -> DataFrame:
    """Tiles of one group from a log that carries its key and its segment's column.

    Complexity: one hash aggregation; linear in events.
    """
    group = features.groups[name]
    tick = group.tile_micros(features.tile)
    visible = visible_micros(F.col("event_ts"), F.col("effective_arrival_ts"), group.delay)
    own = "own_arrival_ts" if "own_arrival_ts" in events.columns else "effective_arrival_ts"
    own_visible = visible_micros(F.col("event_ts"), F.col(own), group.delay)
    keys = [F.col(f"{group.entity}_id").alias("key")]
    if group.segment is not None:
        keys.append(F.col(segment_column(group)).alias("segment"))
    placed = events.where(F.col(f"{group.entity}_id").isNotNull()).select(
        *keys,
        floor_micros(to_micros(F.col("event_ts")), tick).alias("event_us"),
        floor_micros(visible, tick).alias("visible_us"),
        own_visible.alias("known_us"),
        "event_ts",
        "action",
        "value",
        "is_first",
        "ds",
    )
    by = ["key", *(["segment"] if group.segment else []), "event_us", "visible_us", "ds"]
    sums = placed.groupBy(*by).agg(F.min("known_us").alias("known_us"), *_metric_columns(group, features.metrics))
    return sums.select(
        *by[:-3],
        F.timestamp_micros("event_us").alias("event_hour"),
        F.timestamp_micros("visible_us").alias("visible_hour"),
        F.timestamp_micros("known_us").alias("known_ts"),
        *[c for c in sums.columns if c.endswith(("_count", "_sum", "_last_ts"))],
        "ds",
    )


def segment_column(group: Group) -> str:
    """Column of the log, or of the spine, that holds the group's segment value."""
    source, column = (group.segment or ".").split(".")
    if group.segment == "item.author_id":
        return "author_id"  # an id of its own, not a feature of the item
    return column if source == "impression" else f"{source}_{column}"


def _counts(metric: Metric) -> Column:
    """Rows that a metric counts."""
    matches = F.col("action") == metric.action
    return matches & F.col("is_first") if metric.once else matches


def _metric_columns(group: Group, metrics: dict[str, Metric]) -> list[Column]:
    columns = [F.count_if(_counts(metrics[m])).alias(f"{m}_count") for m in group.counted]
    for m in group.summed:  # once per event to microunits, half to even (S22); then exact integer sums
        units = F.rint(F.col("value") * MICROUNITS).cast("bigint")
        columns.append(F.coalesce(F.sum(F.when(_counts(metrics[m]), units)), F.lit(0)).alias(f"{m}_sum"))
    for m in group.recency:
        columns.append(F.max(F.when(_counts(metrics[m]), F.col("event_ts"))).alias(f"{m}_last_ts"))
    return columns


def needs_impression(group: Group) -> bool:
    """Whether the group's segment is a column of the impression."""
    return (group.segment or "").startswith("impression.")
