"""Native Spark on the features benchmark without tiles: RANGE frames over the raw events. Minutes at full scale."""

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.spark_tiles import hour_of, micros_of, named, read
from benchmarks.names import COUNTED, ENTITIES, METRICS, WINDOWS

__all__ = ["build"]

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
        features = named(_sums(spark, job.world, rows, entity=entity), entity).withColumnRenamed("key", f"{entity}_id")
        rows = rows.join(features, [f"{entity}_id", "hour"], how="left")
    rows.drop("user_id", "item_id", "hour").write.mode("append").parquet(str(job.out))


def _sums(spark: SparkSession, world: Path, rows: DataFrame, *, entity: str) -> DataFrame:
    """One row per key x hour that the spine asks for: window sums over the events themselves."""
    points = rows.select(F.col(f"{entity}_id").alias("key"), "hour").distinct()
    asked = points.select("key", "hour", (F.col("hour") * F.lit(_HOUR_US)).alias("at_us"), F.lit(0).alias("is_event"))
    both = _events(spark, world, entity).unionByName(asked, allowMissingColumns=True)
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
    contend(build)
