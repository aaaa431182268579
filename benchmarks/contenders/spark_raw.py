"""Native Spark on the features benchmark without tiles: windows over the raw events themselves. Small scale only.

join    every point joined to the events of its last 30 days, grouped (the faster)
range   union of events and points, RANGE frames of 1, 24, 168 and 720 hours; quadratic in the events of a hot key
"""

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.spark_tiles import hour_of, micros_of, named, read
from benchmarks.names import COUNTED, ENTITIES, METRICS, WINDOWS

__all__ = ["HOWS", "build"]

HOWS = ("join", "range")
_HOUR_US = 3_600_000_000
_PARTITIONS = 8


def build(job: Job) -> None:
    """Write impression_id and the 48 features of every spine row to Parquet files in `out`."""
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    job.clock.start()
    rows = read(spark, job.world, "spine").select(
        "impression_id", "user_id", "item_id", hour_of("request_ts").alias("hour")
    )
    for entity in ENTITIES:
        points = rows.select(F.col(f"{entity}_id").alias("key"), "hour").distinct()
        points = points.withColumn("as_of_us", F.col("hour") * F.lit(_HOUR_US))
        sums = _WAYS[job.how](_events(spark, job.world, entity), points)
        features = named(sums, entity).withColumnRenamed("key", f"{entity}_id")
        rows = rows.join(features, [f"{entity}_id", "hour"], how="left")
    rows.drop("user_id", "item_id", "hour").write.mode("append").parquet(str(job.out))


def _join(events: DataFrame, points: DataFrame) -> DataFrame:
    """One row per key x hour that the spine asks for."""
    first = events.groupBy("key").agg(F.min("at_us").alias("first_us"))
    reach = max(WINDOWS.values()) * _HOUR_US
    inside = (F.col("at_us") < F.col("as_of_us")) & (F.col("at_us") >= F.col("as_of_us") - F.lit(reach))
    held = events.select(F.col("key").alias("event_key"), "at_us", *METRICS)
    paired = points.join(held, (F.col("key") == F.col("event_key")) & inside, how="left")
    sums = []
    for metric in METRICS:
        for hours in WINDOWS.values():
            recent = F.col("at_us") >= F.col("as_of_us") - F.lit(hours * _HOUR_US)
            sums.append(F.coalesce(F.sum(F.when(recent, F.col(metric))), F.lit(0)).alias(f"{metric}_{hours}"))
    summed = paired.groupBy("key", "hour", "as_of_us").agg(*sums).join(first, "key", how="left")
    known = F.coalesce(F.col("first_us") < F.col("as_of_us"), F.lit(False)).alias("known")
    return summed.withColumn("known", known).drop("as_of_us", "first_us")


def _range(events: DataFrame, points: DataFrame) -> DataFrame:
    """One row per key x hour that the spine asks for."""
    asked = points.select("key", "hour", F.col("as_of_us").alias("at_us"), F.lit(0).alias("is_event"))
    both = events.unionByName(asked, allowMissingColumns=True)
    ordered = Window.partitionBy("key").orderBy("at_us")
    ever = F.sum("is_event").over(ordered.rangeBetween(Window.unboundedPreceding, -1))
    # [as_of - w, as_of): an event at as_of - w is inside, one at as_of is outside (docs/semantics.md S1).
    sums = [
        F.coalesce(F.sum(m).over(ordered.rangeBetween(-hours * _HOUR_US, -1)), F.lit(0)).alias(f"{m}_{hours}")
        for m in METRICS
        for hours in WINDOWS.values()
    ]
    known = (F.coalesce(ever, F.lit(0)) > 0).alias("known")
    return both.select("key", "hour", "is_event", known, *sums).where("is_event = 0").drop("is_event")


_WAYS = {"join": _join, "range": _range}


def _events(spark: SparkSession, world: Path, entity: str) -> DataFrame:
    """One row per impression and per engagement: key, at_us, is_event and the six metrics."""
    at: list[Column] = [F.col(f"{entity}_id").alias("key"), F.unix_micros("event_ts").alias("at_us")]
    at.append(F.lit(1).alias("is_event"))
    zeros = [F.lit(0).alias(m) for m in METRICS[1:-1]] + [F.lit(0).cast("bigint").alias(METRICS[-1])]
    seen = read(spark, world, "impressions").select(*at, F.lit(1).alias(METRICS[0]), *zeros)
    counts = [
        (F.col("action") == name.removesuffix("_seconds")).cast("int").alias(f"{name}_count") for name in COUNTED[1:]
    ]
    done = read(spark, world, "engagements").select(
        *at, F.lit(0).alias(METRICS[0]), *counts, micros_of("value").alias(METRICS[-1])
    )
    return seen.unionByName(done)


if __name__ == "__main__":
    contend(build, hows=HOWS)
