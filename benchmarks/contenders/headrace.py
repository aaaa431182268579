"""Headrace on the features benchmark: the product's own tiles and feature engine, from logs to one row per impression.

plain   four partitions an exchange
hot     hot keys of the spine are found first, and their rows shared among partitions (for the skew benchmark)
sized   as many partitions as the log has rows for, hot keys shared, with Spark's event log (for the scale benchmark)
"""

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as t
from pyspark.sql.pandas.types import to_arrow_schema

from benchmarks.contenders.common import Job, bench_session, contend, event_log_conf, spilled_bytes
from benchmarks.contenders.spark_tiles import read
from benchmarks.names import COUNTED, ENTITIES, SUMMED, WINDOWS, feature_names
from benchmarks.worldfiles import FIRST_DAY
from features.build import build_features
from features.skew import hot_keys
from features.tiles import packed_tiles_of_files, tile_spec
from headrace.arrowfiles import file_tasks
from headrace.arrowsink import WRITTEN_SCHEMA, parquet_sink
from headrace.config import Feature, FeaturesConfig
from headrace.config.columns import group_columns
from headrace.delta import DeltaFile
from headrace.exchange import Hot

__all__ = ["HOWS", "build", "build_sized", "feature_columns", "feature_settings", "features_config", "write_features"]

HOWS = ("plain", "hot", "sized")
_PARTITIONS = 4
_EVENTS_PER_PARTITION = 2_500_000  # the full world of the features benchmark over its four partitions
_LOG = ("impressions", "engagements")


def feature_settings() -> dict[str, Any]:
    """The 48 features as a user would declare them."""
    metrics = {name: {"action": "watch" if name == SUMMED else name, "value": name == SUMMED} for name in COUNTED}
    group = {
        "windows": list(WINDOWS),
        "delay": "0",
        "refresh": "1h",
        "tolerance": "1d",
        "count": list(COUNTED),
        "sum": [SUMMED],
    }
    return {"tile": "1h", "metrics": metrics, "groups": {e: {"entity": e, **group} for e in ENTITIES}}


def features_config() -> FeaturesConfig:
    """`feature_settings`, validated."""
    return FeaturesConfig.model_validate(feature_settings())


def build(job: Job) -> dict[str, int] | None:
    """Write impression_id and the 48 features of every spine row to Parquet files in `out`; facts, where sized."""
    features = features_config()
    assert sorted(f.name for f in feature_columns(features)) == sorted(feature_names())
    if job.how == "sized":
        return build_sized(job, features)
    spark = bench_session(partitions=_PARTITIONS, memory=job.memory)
    job.clock.start()
    write_features(spark, job, features, partitions=_PARTITIONS, look=job.how == "hot")
    return None


def build_sized(job: Job, features: FeaturesConfig) -> dict[str, int]:
    """As many rows a partition at every size; the event log tells what spilled."""
    events = sum(file.rows for table in _LOG for file in log_files(job.world, table))
    partitions = max(round(events / _EVENTS_PER_PARTITION), 2)
    spark = bench_session(partitions=partitions, memory=job.memory, conf=event_log_conf(job.out))
    job.clock.start()
    write_features(spark, job, features, partitions=partitions, look=True)
    job.clock.stop()
    if spark.conf.get("spark.eventLog.enabled", "false") == "true":
        spark.stop()  # closes the log
    rows = {"spine": _rows(job.world / "spine"), "rows": _rows(job.out)}
    return {"events": events, "partitions": partitions} | rows | spilled_bytes(job.out)


def _rows(folder: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in folder.rglob("*.parquet"))


def write_features(
    spark: SparkSession, job: Job, features: FeaturesConfig, *, partitions: int, look: bool = False
) -> None:
    """From the world's log and spine to the rows in `out`; `look` for hot keys first, as a large spine deserves."""
    tasks = file_tasks(spark, {table: log_files(job.world, table) for table in _LOG})
    columns = feature_columns(features)
    kinds = {"bigint": t.LongType(), "double": t.DoubleType()}
    fields = [t.StructField("impression_id", t.LongType()), *[t.StructField(f.name, kinds[f.type]) for f in columns]]
    schema = t.StructType([*fields, t.StructField("ds", t.DateType())])
    rows = read(spark, job.world, "spine").select("impression_id", "user_id", "item_id", "request_ts")
    hot = _hot(spark, job.world, partitions=partitions) if look else {}
    specs = [tile_spec(features, name) for name in features.groups]
    own = {name: hot.get(group.entity, {}) for name, group in features.groups.items()}
    tiles = packed_tiles_of_files(tasks, specs, metrics=features.metrics, partitions=partitions, hot=own)
    written = build_features(
        rows.withColumn("ds", F.to_date("request_ts")),
        {"user": [tiles], "item": []},
        features=features,
        columns=columns,
        profiles={},
        timezone="UTC",
        partitions=partitions,
        schema=schema,
        hot=hot,
        sink=(parquet_sink(str(job.out), to_arrow_schema(schema)), WRITTEN_SCHEMA),
    )
    assert written.agg(F.count("path")).first() is not None


def feature_columns(features: FeaturesConfig) -> list[Feature]:
    """Every column of every group, in order."""
    return [f for name, group in features.groups.items() for f in group_columns(features, name, group)]


def _hot(spark: SparkSession, world: Path, *, partitions: int) -> dict[str, Hot]:
    """Entity -> its hot keys, found as the product finds them (features.assemble)."""
    files = [DeltaFile(str(f), FIRST_DAY, pq.read_metadata(f).num_rows) for f in sorted((world / "spine").glob("*"))]
    found = hot_keys(spark, files, columns=[f"{entity}_id" for entity in ENTITIES], partitions=partitions)
    return {entity: found[f"{entity}_id"] for entity in ENTITIES}


def log_files(world: Path, table: str) -> list[DeltaFile]:
    """The files of one table of a world, as a Delta log would list them."""
    found = sorted((world / table).glob("ds=*/*.parquet"))
    return [DeltaFile(str(f), date.fromisoformat(f.parent.name[3:]), pq.read_metadata(f).num_rows) for f in found]


if __name__ == "__main__":
    contend(build, hows=HOWS)
