"""The floor under any Spark way with Python in it: the log's and the spine's rows are shuffled by user to Python tasks that
pass them through, unread and unwritten.

No feature is computed; this is what the journey alone costs. Headrace goes two such ways (user, then item), and writes.
"""

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import functions as F

from benchmarks.contenders.common import Job, bench_session, contend
from benchmarks.contenders.spark_tiles import micros_of, read

__all__ = ["build"]

_PARTITIONS = 8


def build(job: Job) -> dict[str, int]:
    """Rows that went through, as `rows`; nothing is written."""
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    job.clock.start()
    log = ["user_id", "item_id", "event_ts"]
    shown = read(spark, job.world, "impressions").select(*log, F.lit("impression").alias("action"), F.lit(0).alias("v"))
    done = read(spark, job.world, "engagements").select(*log, "action", micros_of("value").alias("v"))
    spine = read(spark, job.world, "spine").select(
        "user_id", "item_id", F.col("request_ts").alias("event_ts"), F.lit("row").alias("action"), "impression_id"
    )
    rows = shown.unionByName(done).unionByName(spine.withColumnRenamed("impression_id", "v"))
    passed = rows.repartition(_PARTITIONS, "user_id").mapInArrow(_pass, rows.schema)
    passed.write.format("noop").mode("overwrite").save()
    job.clock.stop()
    return {"rows": passed.count()}


def _pass(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield from batches


if __name__ == "__main__":
    contend(build)
