"""The floor under any ingest: Spark reads a day's landing files and writes them to Delta, and nothing else."""

import json

from pyspark.sql import SparkSession

from benchmarks.contenders.common import Job, bench_session, contend

__all__ = ["build"]

_PARTITIONS = 8


def build(job: Job) -> None:
    """Write the big day's impressions and engagements to Delta tables under `out`, partitioned by ds.

    The days before it are written first and not measured: an ingest needs them (docs/semantics.md S9), and both
    contenders then start with a warm JVM and tables that exist.
    """
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    days = json.loads((job.world / "day.json").read_text())
    for ds in days["before"]:
        _copy(spark, job, ds=ds)
    job.clock.start()
    _copy(spark, job, ds=days["ds"])


def _copy(spark: SparkSession, job: Job, *, ds: str) -> None:
    for table in ("impressions", "engagements"):
        landing = job.world / "landing" / table
        rows = spark.read.option("basePath", str(landing)).parquet(str(landing / f"ds={ds}"))
        rows.write.format("delta").mode("append").partitionBy("ds").save(str(job.out / table))


if __name__ == "__main__":
    contend(build)
