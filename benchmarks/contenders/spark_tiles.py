"""Native Spark on the features benchmark: hourly tiles, then window functions over them, joined back to the spine.

prefix  union of tiles and points, frames that all start at the beginning of time and end at each window's edge, so that
        Spark sums every tile once per edge; a window is a difference of two (the fastest found)
range   union of tiles and points, RANGE frames of 1, 24, 168 and 720 hours: the way most would write it
probes  union of tiles and window edges, one running sum per metric, edges pivoted into differences
"""

from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.names import COUNTED, ENTITIES, METRICS, SUMMED, WINDOWS, feature

__all__ = ["HOWS", "build", "hour_of", "micros_of", "named", "read"]

HOWS = ("prefix", "range", "probes")
_PARTITIONS = {"tiny": 2, "small": 2}  # by scale; the full world has 8
_FULL_PARTITIONS = 8


def build(job: Job) -> None:
    """Write impression_id and the 48 features of every spine row to Parquet files in `out`."""
    partitions = _PARTITIONS.get(job.world.name.rpartition("-")[2], _FULL_PARTITIONS)
    spark = bench_session(partitions=partitions, memory=job.memory)
    job.clock.start()
    spine = read(spark, job.world, "spine").withColumn("hour", hour_of("request_ts"))
    rows = spine.select("impression_id", "user_id", "item_id", "hour")
    for entity in ENTITIES:
        points = rows.select(F.col(f"{entity}_id").alias("key"), "hour").distinct()
        sums = _WAYS[job.how](_tiles(spark, job.world, entity), points)
        features = named(sums, entity).withColumnRenamed("key", f"{entity}_id")
        rows = rows.join(features, [f"{entity}_id", "hour"], how="left")
    rows.drop("user_id", "item_id", "hour").write.mode("append").parquet(str(job.out))


def read(spark: SparkSession, world: Path, table: str) -> DataFrame:
    """One table of a world; one row per impression_id, or per impression_id x action."""
    return spark.read.parquet(str(world / table))


def hour_of(column: str) -> Column:
    """Whole hours since 1970 UTC, INT."""
    return F.floor(F.unix_micros(F.col(column)) / F.lit(3_600_000_000)).cast("int")


def micros_of(column: str) -> Column:
    """Value in microunits, half to even, BIGINT; 0 where null (docs/semantics.md S22)."""
    return F.coalesce(F.rint(F.col(column) * F.lit(1e6)).cast("bigint"), F.lit(0))


def _tiles(spark: SparkSession, world: Path, entity: str) -> DataFrame:
    """One row per key x hour: the six additive metrics."""
    key = F.col(f"{entity}_id").alias("key")
    zeros = [F.lit(0).alias(m) for m in METRICS[1:-1]] + [F.lit(0).cast("bigint").alias(METRICS[-1])]
    seen = read(spark, world, "impressions").select(
        key, hour_of("event_ts").alias("hour"), F.lit(1).alias(METRICS[0]), *zeros
    )
    done = read(spark, world, "engagements").select(
        key,
        hour_of("event_ts").alias("hour"),
        F.lit(0).alias(METRICS[0]),
        *(
            (F.col("action") == name.removesuffix("_seconds")).cast("int").alias(f"{name}_count")
            for name in COUNTED[1:]
        ),
        micros_of("value").alias(METRICS[-1]),
    )
    return seen.unionByName(done).groupBy("key", "hour").agg(*(F.sum(m).alias(m) for m in METRICS))


def _probes(tiles: DataFrame, points: DataFrame) -> DataFrame:
    """A tile counts from the hour after it; an edge probe reads the running sum of all tiles before its hour."""
    backs = [0, *WINDOWS.values()]
    zeros = [F.lit(0).cast("bigint").alias(name) for name in ("tiles_before", *METRICS)]
    edges = points.select("key", "hour", F.explode(F.array(*map(F.lit, backs))).alias("back"))
    edges = edges.select("key", (F.col("hour") - F.col("back")).alias("hour"), "back", *zeros)
    entering = tiles.select(
        "key",
        (F.col("hour") + 1).alias("hour"),
        F.lit(-1).alias("back"),
        F.lit(1).cast("bigint").alias("tiles_before"),
        *METRICS,
    )
    # Tiles (-1) sort before the probes of their hour, so that a frame of rows is enough.
    upto = Window.partitionBy("key").orderBy("hour", "back").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    running = [F.sum(name).over(upto).alias(name) for name in ("tiles_before", *METRICS)]
    probed = entering.unionByName(edges).select("key", "hour", "back", *running).where("back >= 0")

    def at(name: str, back: int) -> Column:
        return F.max(F.when(F.col("back") == back, F.col(name)))

    differences = [(at(m, 0) - at(m, h)).alias(f"{m}_{h}") for m in METRICS for h in WINDOWS.values()]
    known = (at("tiles_before", 0) > 0).alias("known")
    as_of = (F.col("hour") + F.col("back")).alias("hour")
    return probed.withColumn("hour", as_of).groupBy("key", "hour").agg(known, *differences)


def _tiles_and_points(tiles: DataFrame, points: DataFrame) -> DataFrame:
    zeros = [F.lit(0).cast("bigint").alias(m) for m in METRICS]
    asked = points.select("key", "hour", F.lit(0).alias("is_tile"), *zeros)
    return tiles.select("key", "hour", F.lit(1).alias("is_tile"), *METRICS).unionByName(asked)


def _prefix(tiles: DataFrame, points: DataFrame) -> DataFrame:
    """Sum upto as_of less sum upto as_of - w; Spark extends a frame without lower bound, it does not rescan it."""
    ordered = Window.partitionBy("key").orderBy("hour")

    def before(name: str, back: int) -> Column:
        upto = ordered.rangeBetween(Window.unboundedPreceding, -1 - back)
        return F.coalesce(F.sum(name).over(upto), F.lit(0)).alias(f"{name}_before_{back}")

    backs = [0, *WINDOWS.values()]
    sums = [before("is_tile", 0), *(before(m, back) for m in METRICS for back in backs)]
    reached = _tiles_and_points(tiles, points).select("key", "hour", "is_tile", *sums).where("is_tile = 0")
    differences = [
        (F.col(f"{m}_before_0") - F.col(f"{m}_before_{h}")).alias(f"{m}_{h}") for m in METRICS for h in WINDOWS.values()
    ]
    return reached.select("key", "hour", (F.col("is_tile_before_0") > 0).alias("known"), *differences)


def _range(tiles: DataFrame, points: DataFrame) -> DataFrame:
    both = _tiles_and_points(tiles, points)
    ordered = Window.partitionBy("key").orderBy("hour")
    ever = F.sum("is_tile").over(ordered.rangeBetween(Window.unboundedPreceding, -1))
    sums = [
        F.coalesce(F.sum(m).over(ordered.rangeBetween(-h, -1)), F.lit(0)).alias(f"{m}_{h}")
        for m in METRICS
        for h in WINDOWS.values()
    ]
    known = (F.coalesce(ever, F.lit(0)) > 0).alias("known")
    return both.select("key", "hour", "is_tile", known, *sums).where("is_tile = 0").drop("is_tile")


_WAYS = {"prefix": _prefix, "range": _range, "probes": _probes}


def named(sums: DataFrame, entity: str) -> DataFrame:
    """`metric_hours` under their feature names; an unknown key's are null, sums of values are seconds.

    Parameters
    ----------
    sums : key, hour, known (BOOLEAN) and one column `<metric>_<hours>` per feature
    """
    columns = []
    for metric in METRICS:
        for window, hours in WINDOWS.items():
            value = F.col(f"{metric}_{hours}")
            value = value / F.lit(1e6) if metric == f"{SUMMED}_sum" else value
            columns.append(F.when(F.col("known"), value).alias(feature(entity, metric, window)))
    return sums.select("key", "hour", *columns)


if __name__ == "__main__":
    contend(build, hows=HOWS)
