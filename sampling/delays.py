"""How long after an impression its engagements come, and how long after they are logged: what label windows are chosen by."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from headrace import tables
from headrace.config import Config
from headrace.days import day_end

__all__ = ["LIMITS", "label_delays"]

LIMITS = {"1h": 1, "6h": 6, "24h": 24, "7d": 168}  # name -> hours
_HOUR_US = 3_600_000_000


def label_delays(spark: SparkSession, config: Config, *, days: Sequence[date]) -> DataFrame:
    """One row per ds x action: impressions with it, and how many had its first within 1 h, 6 h, 24 h and 7 d.

    `happened_<limit>` counts by event_ts, against the impression's; `landed_<limit>` by effective_arrival_ts, against
    the same: what had both happened and been logged by then. All that has been ingested counts, up to the longest limit;
    `watched_h` says how many hours of it there are at least, so that a share of a young day is not taken for final.
    """
    shown = tables.read(spark, config, "impressions", days=days).select(
        "impression_id", "ds", F.unix_micros("event_ts").alias("shown_us")
    )
    earliest = tables.first_event_day(config, "impressions", days=days)
    first = None if earliest is None else earliest - timedelta(days=2)
    engagements = tables.read(spark, config, "engagements", first=first)
    done = engagements.where(F.col("impression_id").isNotNull()).select(
        "impression_id",
        "action",
        F.unix_micros("event_ts").alias("done_us"),
        F.unix_micros("effective_arrival_ts").alias("landed_us"),
    )
    after = (F.col("done_us") >= F.col("shown_us")) & (F.col("done_us") < F.col("shown_us") + _longest())
    paired = shown.join(done, on="impression_id").where(after)
    firsts = paired.groupBy("ds", "impression_id", "action").agg(
        F.min(F.col("done_us") - F.col("shown_us")).alias("happened"),
        F.min(F.col("landed_us") - F.col("shown_us")).alias("landed"),
    )
    counts = [_within(clock, name, hours) for clock in ("happened", "landed") for name, hours in LIMITS.items()]
    made = firsts.groupBy("ds", "action").agg(F.count("*").alias("impressions"), *counts)
    return made.withColumn("watched_h", _watched_hours(config, days))


def _longest() -> int:
    return max(LIMITS.values()) * _HOUR_US


def _within(clock: str, name: str, hours: int) -> Column:
    return F.sum((F.col(clock) < hours * _HOUR_US).cast("bigint")).alias(f"{clock}_{name}")


def _watched_hours(config: Config, days: Sequence[date]) -> Column:
    """Hours between the end of each day and the end of the last day of engagements, as a column over ds."""
    last = max((file.ds for file in tables.files(config, "engagements")), default=min(days))
    found = F.lit(0)
    for day in days:
        span = day_end(last, config.timezone) - day_end(day, config.timezone)
        found = F.when(F.col("ds") == F.lit(day), int(span.total_seconds() // 3600)).otherwise(found)
    return found
