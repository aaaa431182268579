"""The log that groups are made of: impressions and engagements as events, with the columns that a group looks at beside them."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from features.clock import to_micros
from features.conditions import PAIRED, sources_of
from features.profiles import join_profile
from headrace.config import FeaturesConfig
from schemas.days import ds_start

__all__ = ["event_log", "profile_sources", "with_impression", "with_profiles"]

_SHARED = ["user_id", "item_id", "event_ts", "effective_arrival_ts", "impression_id", "ds"]
_DONE = ["action", "value", "is_first"]


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
        *_DONE,
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


def with_impression(
    impressions: DataFrame, engagements: DataFrame, *, columns: list[str], days: list[str], segmented: bool
) -> DataFrame:
    """The log of `days` for a group that looks at columns of the impression (S12).

    An engagement takes the values of its impression as first landed and is visible from the later of the two; where the
    impression lands after it, the pair belongs to the impression's landing day.

    Parameters
    ----------
    segmented : whether the group's segment is one of the columns
        Then an engagement whose impression has not landed counts in no segment: it only makes the key known. Without,
        every engagement also stands for itself (PAIRED false), for the metrics that do not look at the impression.
    """
    shown = event_log(impressions, engagements.limit(0), context=columns)
    landed = _first_landed(impressions, columns)
    done = engagements.join(landed, F.col("impression_id") == F.col("_id"), how="left")
    later = F.col("_ds") > F.col("ds")
    alone = done.where(F.col("_ds").isNull() | later) if segmented else engagements
    alone = alone.select(
        *_SHARED, *[F.lit(None).cast(impressions.schema[c].dataType).alias(c) for c in columns], *_DONE
    )
    paired = done.where(F.col("_ds").isNotNull()).select(
        "user_id",
        "item_id",
        "event_ts",
        F.greatest("effective_arrival_ts", "_arrival").alias("effective_arrival_ts"),
        "impression_id",
        F.greatest("ds", "_ds").alias("ds"),
        *[F.col(f"_value_{c}").alias(c) for c in columns],
        *_DONE,
        F.col("effective_arrival_ts").alias("own_arrival_ts"),
    )
    both = F.lit(None).cast("boolean")
    own = F.col("effective_arrival_ts")
    together = (
        shown.withColumns({"own_arrival_ts": own, PAIRED: both})
        .unionByName(alone.withColumns({"own_arrival_ts": own, PAIRED: both if segmented else F.lit(False)}))
        .unionByName(paired.withColumn(PAIRED, both if segmented else F.lit(True)))
    )
    return together.where(F.col("ds").cast("string").isin(days))


def _first_landed(impressions: DataFrame, columns: list[str]) -> DataFrame:
    """One row per impression_id: when and with which values it first landed."""
    first = Window.partitionBy("impression_id").orderBy("ds", "effective_arrival_ts")
    ranked = impressions.withColumn("_rank", F.row_number().over(first)).where("_rank = 1")
    return ranked.select(
        F.col("impression_id").alias("_id"),
        F.col("ds").alias("_ds"),
        F.col("effective_arrival_ts").alias("_arrival"),
        *[F.col(c).alias(f"_value_{c}") for c in columns],
    )


def profile_sources(features: FeaturesConfig, name: str) -> set[str]:
    """Profiles, user and item, that the group's key, segment, kept columns and conditions come from."""
    group = features.groups[name]
    named = [group.segment or "", *group.columns_of]
    asked = {source for m in group.metric_names for source in sources_of(features.metrics[m])}
    found = {column.split(".")[0] for column in named if "." in column} | asked
    if group.entity == "author" or "author_id" in group.columns_of:
        found.add("item")
    return found & {"user", "item"}
