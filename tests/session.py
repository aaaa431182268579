"""The Spark session of the tests: two cores, few partitions, no UI."""

import os
import sys

from pyspark.sql import SparkSession

from headrace.config.spark import SparkConfig
from headrace.session import spark_session

__all__ = ["tiny_session"]

_CONF = {
    # Tiny data: writing Java for every projection and compiling it costs more than it saves, a fifth of the run.
    # The clusters of the tests, the demo and the benchmarks run with what users run with.
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.default.parallelism": "2",
    "spark.sql.adaptive.coalescePartitions.initialPartitionNum": "2",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m",  # compile fast, and all of it
}


def tiny_session() -> SparkSession:
    """Start it, or join the one of this process."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = SparkConfig(
        master="local[2]", partitions=0, shuffle_partitions=2, driver_memory="2g", measure=False, conf=_CONF
    )
    return spark_session(settings, app="headrace tests")
